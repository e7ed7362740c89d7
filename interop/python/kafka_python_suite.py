"""kafka-python (pure Python) against the broker at BOOTSTRAP."""

import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.errors import CommitFailedError, RebalanceInProgressError, TopicAlreadyExistsError

import suite
from suite import BOOTSTRAP, Deadline, equal, eventually, unique


def admin():
    return KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def topic(name, partitions=1, **config):
    """Creates a topic and returns its name once its leaders serve."""
    name, client = unique("kp-" + name), admin()
    configs = {key.replace("_", "."): value for key, value in config.items()}
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": configs}
    client.create_topics({name: options}, wait_for_metadata=True)
    client.close()
    probe = KafkaConsumer(bootstrap_servers=BOOTSTRAP)
    eventually(lambda: probe.end_offsets(parts(name, partitions)))
    probe.close()
    return name


def parts(name, partitions):
    return [TopicPartition(name, partition) for partition in range(partitions)]


def producer(**config):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **config)


def consumer(**config):
    return KafkaConsumer(**{"bootstrap_servers": BOOTSTRAP, "auto_offset_reset": "earliest", "enable_auto_commit": False,
                            "fetch_max_wait_ms": 100, **config})


def send(client, name, lines, first=0, **options):
    """Sends lines keyed by their number and waits for every acknowledgement."""
    futures = [client.send(name, line, suite.key(number), **options) for number, line in enumerate(lines, first)]
    client.flush(300)
    for future in futures:
        future.get(60)


def reader(name, partitions, **config):
    client = consumer(**config)
    client.assign(parts(name, partitions))
    client.seek_to_beginning()
    return client


def take(client, count, seconds=suite.LIMIT):
    """Reads until `count` records came."""
    records, deadline = [], Deadline(f"{count} records", seconds)
    while len(records) < count and deadline:
        for batch in client.poll(500).values():
            records += batch
    return records


def lines_case(name, count, **config):
    def case():
        lines, where = suite.lines(count), topic(name, 6)
        client = producer(linger_ms=20, batch_size=100_000, **config)
        send(client, where, lines)
        client.close()
        order, read, deadline = suite.Order(lines), reader(where, 6, max_poll_records=10_000), Deadline("all lines", 600)
        while not order.done() and deadline:
            for batch in read.poll(500).values():
                for record in batch:
                    order.add(record.key, record.value)
        read.close()
    return case


def headers():
    where = topic("headers")
    sent = [("a", b"1"), ("a", b""), ("ключ", bytes(range(256)))]
    send(producer(), where, [b"value"], headers=sent)
    equal(list(take(reader(where, 1), 1)[0].headers), sent, "headers")


def nulls():
    where, client, sent = topic("nulls"), producer(), []
    for key in (None, b"", b"key"):
        for value in (None, b"", b"value"):
            if key is not None or value is not None:
                client.send(where, value, key, partition=0).get(60)
                sent.append((key, value))
    equal([(record.key, record.value) for record in take(reader(where, 1), len(sent))], sent, "records")


def timestamps():
    where, client = topic("timestamps"), producer(batch_size=1000)
    start = int(time.time() * 1000) - 1_000_000
    for number in range(1000):
        client.send(where, b"v%d" % number, partition=0, timestamp_ms=start + number * 10)
    client.flush(60)
    read, part = reader(where, 1), TopicPartition(where, 0)
    equal([record.timestamp for record in take(read, 1000)], [start + n * 10 for n in range(1000)], "timestamps")
    for asked, offset in ((0, 0), (start - 1, 0), (start, 0), (start + 1, 1), (start + 5005, 501), (start + 9990, 999)):
        found = read.offsets_for_times({part: asked})[part]
        equal((found.offset, found.timestamp), (offset, start + offset * 10), f"offset of time start{asked - start:+}")
    equal(read.offsets_for_times({part: start + 9991})[part], None, "offset of a time after the last")
    equal(read.beginning_offsets([part]), {part: 0}, "beginning")
    equal(read.end_offsets([part]), {part: 1000}, "end")


def group(name, assignor):
    def case():
        where, group_id, client, sent = topic("group-" + name, 6), unique("kp-group-" + name), producer(), [0]

        def add(count):
            send(client, where, suite.lines(count), sent[0])
            sent[0] += count

        suite.join_and_leave(lambda state, member: group_member(state, member, where, group_id, assignor), add)
        probe = consumer(group_id=group_id)
        ends = probe.end_offsets(parts(where, 6))
        equal({part: probe.committed(part) for part in ends}, ends, "committed offsets")
        probe.close()
    return case


def group_member(state, member, where, group_id, assignor):
    """Reads, commits, and only then counts what it read."""
    client = consumer(group_id=group_id, partition_assignment_strategy=[assignor], heartbeat_interval_ms=500, max_poll_records=100)
    client.subscribe([where])
    while not state.leaving[member].is_set():
        batches = client.poll(100)
        if batches:
            try:
                client.commit({part: OffsetAndMetadata(batch[-1].offset + 1, "", -1) for part, batch in batches.items()})
                state.processed([(record.partition, record.offset) for batch in batches.values() for record in batch])
            except (CommitFailedError, RebalanceInProgressError):
                for part in client.assignment() & set(batches):
                    client.seek(part, batches[part][0].offset)
        state.owns(member, len(client.assignment()))
    client.close()


def seek():
    where, part = topic("seek"), None
    part = TopicPartition(where, 0)
    send(producer(batch_size=2000), where, [b"v%d" % number for number in range(5000)])
    client = reader(where, 1, max_poll_records=1)
    for offset in (0, 4999, 1, 2500, 17, 4000):
        client.seek(part, offset)
        record = take(client, 1)[0]
        equal((record.offset, record.value), (offset, b"v%d" % offset), "the record sought")
    client.seek_to_end(part)
    equal(client.position(part), 5000, "position at the end")


def pause():
    where, client = topic("pause", 2), producer()
    for number in range(1000):
        client.send(where, b"v%d" % number, partition=number % 2)
    client.flush(60)
    read = reader(where, 2)
    read.pause(TopicPartition(where, 0))
    equal({record.partition for record in take(read, 500)}, {1}, "partitions while 0 is paused")
    read.pause(TopicPartition(where, 1))
    read.resume(TopicPartition(where, 0))
    equal({record.partition for record in take(read, 500)}, {0}, "partitions while 1 is paused")


def topics():
    client, name = admin(), unique("kp-topics")
    options = {"num_partitions": 3, "replication_factor": 1, "configs": {"retention.ms": "12345"}}
    client.create_topics({name: options}, wait_for_metadata=True)
    equal(len(client.describe_topics([name])[0]["partitions"]), 3, "partitions")

    def config(key):
        resource = ConfigResource(ConfigResourceType.TOPIC, name)
        return client.describe_configs([resource], config_filter="all")["topic"][name][key]["value"]

    eventually(lambda: equal(config("retention.ms"), "12345", "what was given"))
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "1000"})])
    eventually(lambda: equal(config("retention.ms"), "1000", "what was set"))
    equal(config("cleanup.policy"), "delete", "a default")
    client.create_partitions({name: 5})
    eventually(lambda: equal(len(client.describe_topics([name])[0]["partitions"]), 5, "partitions after adding two"))
    try:
        client.create_topics({name: options})
        raise AssertionError("a topic was created twice")
    except TopicAlreadyExistsError:
        pass
    client.delete_topics([name])
    eventually(lambda: equal(name in client.list_topics(), False, "the topic is listed"))


def delete_records():
    where, client = topic("delete-records"), admin()
    send(producer(), where, suite.lines(100))
    client.delete_records({TopicPartition(where, 0): 40})
    equal(take(reader(where, 1), 60)[0].offset, 40, "the first record that is left")


def groups():
    where, group_id, client = topic("groups", 2), unique("kp-groups"), admin()
    first, second = parts(where, 2)
    member = consumer(group_id=group_id, client_id="the-client")
    member.subscribe([where])
    deadline = Deadline("an assignment")
    while not member.assignment() and deadline:
        member.poll(100)
    member.commit({first: OffsetAndMetadata(7, "seven", -1), second: OffsetAndMetadata(8, "", -1)})
    described = client.describe_groups([group_id])[group_id]
    equal([one["client_id"] for one in described["members"]], ["the-client"], "members")
    member.close()
    assert group_id in {one["group_id"] for one in client.list_groups()}, "the group is listed"
    client.alter_group_offsets(group_id, {second: OffsetAndMetadata(3, "", -1)})
    offsets = client.list_group_offsets(group_id)[group_id]
    equal({part: one.offset for part, one in offsets.items()}, {first: 7, second: 3}, "offsets")
    client.delete_groups([group_id])
    assert group_id not in {one["group_id"] for one in client.list_groups()}, "the group is gone"


def idempotent_through_restart():
    if not suite.RESTART:
        raise suite.Skip("the broker is not ours to restart")
    lines, where, count, half = suite.lines(20_000), topic("restart", 3), [0], threading.Event()
    client = producer(enable_idempotence=True, acks="all", batch_size=500, request_timeout_ms=5000, delivery_timeout_ms=120_000)

    def acknowledged(_metadata):
        count[0] += 1
        if count[0] >= 5_000:
            half.set()

    futures = []
    for number, line in enumerate(lines):
        futures.append(client.send(where, line, suite.key(number)).add_callback(acknowledged))
        if number == 10_000:
            assert half.wait(60), "a quarter is acknowledged"
            suite.restart()
    client.flush(120)
    for future in futures:
        future.get(60)
    order = suite.Order(lines)
    read = reader(where, 3)
    for record in take(read, len(lines)):
        order.add(record.key, record.value)
    equal(sum(read.end_offsets(parts(where, 3)).values()), len(lines), "end offsets")


CASES = [("many_lines_in_order_per_key", lines_case("many", suite.MANY, compression_type="lz4", enable_idempotence=True))]
for codec in (None, "gzip", "snappy", "lz4", "zstd"):
    CASES.append((f"codec_{codec}".lower(), lines_case(f"codec-{codec}", 20_000, compression_type=codec)))
for acks in (0, 1):
    CASES.append((f"acks_{acks}", lines_case(f"acks-{acks}", 20_000, acks=acks, enable_idempotence=False)))
CASES += [("headers", headers), ("null_keys_and_values", nulls), ("timestamps_and_lookup_by_time", timestamps),
          ("group_of_three_range", group("range", RangePartitionAssignor)),
          ("group_of_three_roundrobin", group("roundrobin", RoundRobinPartitionAssignor)),
          ("seek", seek), ("pause_and_resume", pause), ("topics_and_their_configs", topics), ("delete_records", delete_records),
          ("groups_and_their_offsets", groups), ("idempotent_producer_through_a_restart", idempotent_through_restart)]

if __name__ == "__main__":
    suite.run(CASES)
