"""confluent-kafka (librdkafka) against the broker at BOOTSTRAP."""

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
                                   ResourceType)

import suite
from suite import BOOTSTRAP, Deadline, equal, eventually, unique


def admin():
    return AdminClient({"bootstrap.servers": BOOTSTRAP})


def topic(name, partitions=1, **config):
    """Creates a topic and returns its name once its leaders serve."""
    name = unique("ck-" + name)
    client = admin()
    config = {key.replace("_", "."): value for key, value in config.items()}
    client.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result()
    parts = {TopicPartition(name, partition): OffsetSpec.latest() for partition in range(partitions)}
    eventually(lambda: [future.result() for future in client.list_offsets(parts).values()])
    return name


def producer(**config):
    config = {key.replace("_", "."): value for key, value in config.items()}
    return Producer({"bootstrap.servers": BOOTSTRAP, "queue.buffering.max.messages": 2_000_000, **config})


def consumer(group=None, **config):
    config = {key.replace("_", "."): value for key, value in config.items()}
    return Consumer({"bootstrap.servers": BOOTSTRAP, "group.id": group or unique("none"), "auto.offset.reset": "earliest",
                     "enable.auto.commit": False, "fetch.wait.max.ms": 100, **config})


def send(client, name, lines, first=0, **options):
    """Sends lines keyed by their number and waits for every acknowledgement."""
    errors = []

    def delivered(error, _message):
        if error:
            errors.append(error)

    for number, line in enumerate(lines, first):
        client.produce(name, line, suite.key(number), on_delivery=delivered, **options)
        if number % 1000 == 0:
            client.poll(0)
    equal(client.flush(300), 0, "sends that are not acknowledged")
    assert not errors, f"{len(errors)} sends failed, the first: {errors[0]}"


def reader(name, partitions, offset=OFFSET_BEGINNING, **config):
    client = consumer(**config)
    client.assign([TopicPartition(name, partition, offset) for partition in range(partitions)])
    return client


def take(client, count, seconds=suite.LIMIT):
    """Reads until `count` messages came."""
    messages, deadline = [], Deadline(f"{count} messages", seconds)
    while len(messages) < count and deadline:
        for message in client.consume(min(10_000, count - len(messages)), 0.5):
            assert not message.error(), message.error()
            messages.append(message)
    return messages


def lines_case(name, count, **config):
    def case():
        lines, where = suite.lines(count), topic(name, 6)
        send(producer(linger_ms=5, **config), where, lines)
        order, client, deadline = suite.Order(lines), reader(where, 6), Deadline("all lines", 600)
        while not order.done() and deadline:
            for message in client.consume(10_000, 0.5):
                assert not message.error(), message.error()
                order.add(message.key(), message.value())
        client.close()
    return case


def headers():
    where = topic("headers")
    sent = [("a", b"1"), ("b", None), ("a", b""), ("ключ", bytes(range(256)))]
    send(producer(compression_type="zstd"), where, [b"value"], headers=sent)
    equal(take(reader(where, 1), 1)[0].headers(), sent, "headers")


def nulls():
    where, client, sent = topic("nulls"), producer(), []
    for key in (None, b"", b"key"):
        for value in (None, b"", b"value"):
            client.produce(where, value, key, partition=0)
            sent.append((key, value))
    client.flush(60)
    equal([(message.key(), message.value()) for message in take(reader(where, 1), 9)], sent, "records")


def timestamps():
    where, client = topic("timestamps"), producer(batch_size=1000)
    start = int(time.time() * 1000) - 1_000_000
    for number in range(1000):
        client.produce(where, b"v%d" % number, partition=0, timestamp=start + number * 10)
    equal(client.flush(60), 0, "sends that are not acknowledged")
    read = reader(where, 1)
    equal([message.timestamp()[1] for message in take(read, 1000)], [start + n * 10 for n in range(1000)], "timestamps")
    for asked, offset in ((0, 0), (start - 1, 0), (start, 0), (start + 1, 1), (start + 5005, 501), (start + 9990, 999)):
        found = read.offsets_for_times([TopicPartition(where, 0, asked)], 30)[0]
        equal(found.offset, offset, f"offset of time start{asked - start:+}")
    equal(read.get_watermark_offsets(TopicPartition(where, 0), 30), (0, 1000), "watermarks")
    asker = admin()
    latest = asker.list_offsets({TopicPartition(where, 0): OffsetSpec.max_timestamp()})
    equal([future.result().offset for future in latest.values()], [999], "offset of the largest timestamp")


def group(assignor):
    def case():
        where, name, client = topic("group-" + assignor, 6), unique("ck-group-" + assignor), producer()
        sent = [0]

        def add(count):
            send(client, where, suite.lines(count), sent[0])
            sent[0] += count

        suite.join_and_leave(lambda state, member: group_member(state, member, where, name, assignor), add)
        committed = consumer(name).committed([TopicPartition(where, partition) for partition in range(6)], 30)
        ends = [reader(where, 6).get_watermark_offsets(TopicPartition(where, partition), 30)[1] for partition in range(6)]
        equal([part.offset for part in committed], ends, "committed offsets")
    return case


def group_member(state, member, where, name, assignor):
    """Reads, commits, and only then counts what it read."""
    client = consumer(name, partition_assignment_strategy=assignor, heartbeat_interval_ms=500)
    client.subscribe([where])
    while not state.leaving[member].is_set():
        messages = client.consume(100, 0.1)
        for message in messages:
            assert not message.error(), message.error()
        if messages:
            offsets = {}
            for message in messages:
                offsets[message.partition()] = max(message.offset() + 1, offsets.get(message.partition(), 0))
            try:
                client.commit(offsets=[TopicPartition(where, *pair) for pair in offsets.items()], asynchronous=False)
                state.processed([(message.partition(), message.offset()) for message in messages])
            except KafkaException:
                rewind(client, where, messages)
        state.owns(member, len(client.assignment()))
    client.close()


def rewind(client, where, messages):
    """After a commit that a rebalance refused: what is still owned is read again."""
    owned = {part.partition for part in client.assignment()}
    for partition in {message.partition() for message in messages} & owned:
        first = min(message.offset() for message in messages if message.partition() == partition)
        client.seek(TopicPartition(where, partition, first))


def seek():
    where = topic("seek")
    send(producer(batch_size=2000), where, [b"v%d" % number for number in range(5000)])
    client = reader(where, 1)
    take(client, 1)
    for offset in (0, 4999, 1, 2500, 17, 4000):
        client.seek(TopicPartition(where, 0, offset))
        message = take(client, 1)[0]
        equal((message.offset(), message.value()), (offset, b"v%d" % offset), "the message sought")


def pause():
    where, client = topic("pause", 2), producer()
    for number in range(1000):
        client.produce(where, b"v%d" % number, partition=number % 2)
    client.flush(60)
    read = reader(where, 2)
    read.pause([TopicPartition(where, 0)])
    equal({message.partition() for message in take(read, 500)}, {1}, "partitions while 0 is paused")
    read.pause([TopicPartition(where, 1)])
    read.resume([TopicPartition(where, 0)])
    equal({message.partition() for message in take(read, 500)}, {0}, "partitions while 1 is paused")


def topics():
    client, name = admin(), unique("ck-topics")
    client.create_topics([NewTopic(name, 3, 1, config={"retention.ms": "12345"})])[name].result()
    eventually(lambda: equal(len(client.list_topics(name, 30).topics[name].partitions), 3, "partitions"))
    resource = ConfigResource(ResourceType.TOPIC, name)

    def config(key):
        return list(client.describe_configs([resource]).values())[0].result()[key].value

    eventually(lambda: equal(config("retention.ms"), "12345", "what was given"))
    entry = ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    [future.result() for future in client.incremental_alter_configs([changed]).values()]
    eventually(lambda: equal(config("retention.ms"), "1000", "what was set"))
    equal(config("cleanup.policy"), "delete", "a default")
    client.create_partitions([NewPartitions(name, 5)])[name].result()
    eventually(lambda: equal(len(client.list_topics(name, 30).topics[name].partitions), 5, "partitions after adding two"))
    try:
        client.create_topics([NewTopic(name, 1, 1)])[name].result()
        raise AssertionError("a topic was created twice")
    except KafkaException as error:
        equal(error.args[0].name(), "TOPIC_ALREADY_EXISTS", "a second one")
    client.delete_topics([name])[name].result()
    eventually(lambda: equal(name in client.list_topics(timeout=30).topics, False, "the topic is listed"))


def delete_records():
    where, client = topic("delete-records"), admin()
    send(producer(), where, suite.lines(100))
    part = TopicPartition(where, 0, 40)
    equal([future.result().low_watermark for future in client.delete_records([part]).values()], [40], "low watermark")
    equal(take(reader(where, 1), 60)[0].offset(), 40, "the first message that is left")


def groups():
    where, name, client = topic("groups", 2), unique("ck-groups"), admin()
    member = consumer(name, client_id="the-client")
    member.subscribe([where])
    deadline = Deadline("an assignment")
    while not member.assignment() and deadline:
        member.poll(0.1)
    member.commit(offsets=[TopicPartition(where, 0, 7), TopicPartition(where, 1, 8)], asynchronous=False)
    described = client.describe_consumer_groups([name])[name].result()
    equal([one.client_id for one in described.members], ["the-client"], "members")
    equal(sorted(part.partition for part in described.members[0].assignment.topic_partitions), [0, 1], "assignment")
    member.close()
    assert name in {one.group_id for one in client.list_consumer_groups().result().valid}, "the group is listed"
    client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(name, [TopicPartition(where, 1, 3)])])[name].result()
    offsets = client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)])[name].result().topic_partitions
    equal(sorted((part.partition, part.offset) for part in offsets), [(0, 7), (1, 3)], "offsets")
    client.delete_consumer_groups([name])[name].result()
    assert name not in {one.group_id for one in client.list_consumer_groups().result().valid}, "the group is gone"


def idempotent_through_restart():
    if not suite.RESTART:
        raise suite.Skip("the broker is not ours to restart")
    lines, where, client, count = suite.lines(20_000), topic("restart", 3), producer(enable_idempotence=True, batch_size=500), [0]
    errors = []

    def delivered(error, _message):
        count[0] += 1
        if error:
            errors.append(error)

    for number, line in enumerate(lines):
        client.produce(where, line, suite.key(number), on_delivery=delivered)
        client.poll(0)
        if number == 10_000:
            deadline = Deadline("a quarter")
            while count[0] < 5_000 and deadline:
                client.poll(0.1)
            suite.restart()
    equal(client.flush(120), 0, "sends that are not acknowledged")
    assert not errors, errors[0]
    order = suite.Order(lines)
    for message in take(reader(where, 3), len(lines)):
        order.add(message.key(), message.value())
    ends = [reader(where, 3).get_watermark_offsets(TopicPartition(where, partition), 30)[1] for partition in range(3)]
    equal(sum(ends), len(lines), "end offsets")


CASES = [("many_lines_in_order_per_key", lines_case("many", suite.MANY, compression_type="lz4", enable_idempotence=True))]
for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
    CASES.append((f"codec_{codec}", lines_case(f"codec-{codec}", 20_000, compression_type=codec)))
for acks in (0, 1):
    CASES.append((f"acks_{acks}", lines_case(f"acks-{acks}", 20_000, acks=acks)))
CASES += [("headers", headers), ("null_keys_and_values", nulls), ("timestamps_and_lookup_by_time", timestamps)]
CASES += [(f"group_of_three_{assignor}", group(assignor)) for assignor in ("range", "cooperative-sticky")]
CASES += [("seek", seek), ("pause_and_resume", pause), ("topics_and_their_configs", topics), ("delete_records", delete_records),
          ("groups_and_their_offsets", groups), ("idempotent_producer_through_a_restart", idempotent_through_restart)]

if __name__ == "__main__":
    suite.run(CASES)
