"""Apache Kafka's own command-line tools, from its jars in KAFKA_HOME, against the broker at BOOTSTRAP."""

import json
import os
import re
import subprocess
import tempfile
import time

import suite
from suite import BOOTSTRAP, Order, equal, eventually, unique

HOME = os.environ["KAFKA_HOME"]
TOOLS = "org.apache.kafka.tools."
CONSUMER = TOOLS + "consumer.ConsoleConsumer"


def command(name, *args, heap="256M"):
    java = ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{HOME}/libs/*"]
    return java + [f"-Dlog4j2.configurationFile={HOME}/conf/log4j2.properties", name, *args]


def tool(name, *args, stdin=b"", code=0):
    """Runs a tool with the broker's address and returns what it printed; `code` is what it must end with."""
    args = args if name.endswith("ClusterTool") else ("--bootstrap-server", BOOTSTRAP, *args)
    done = subprocess.run(command(name, *args), input=stdin, capture_output=True, timeout=600, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == code, f"{name} {' '.join(args)} ended with {done.returncode}: {said[-1500:]}"
    return done.stdout.decode(errors="replace") if code == 0 else said


def topics(*args, **more):
    return tool(TOOLS + "TopicCommand", *args, **more)


def topic(name, partitions=1, *args):
    where = unique("tools-" + name)
    topics("--create", "--topic", where, "--partitions", str(partitions), "--replication-factor", "1", *args)
    return where


def produce(where, keyed, *args):
    text = b"".join(key + b"\x01" + value + b"\n" for key, value in keyed)
    tool(TOOLS + "ConsoleProducer", "--topic", where, "--reader-property", "parse.key=true", "--reader-property", "key.separator=\x01",
         *args, stdin=text)


def consume(where, count, *args, prints=("key", "value")):
    """Reads `count` messages: a list of the printed fields of each."""
    out = subprocess.run(command(CONSUMER, "--bootstrap-server", BOOTSTRAP, "--topic", where, "--max-messages", str(count),
                                 "--timeout-ms", "60000", *properties(prints), *args),
                         capture_output=True, timeout=900, check=False)
    assert out.returncode == 0, out.stderr.decode()[-1500:]
    assert f"Processed a total of {count} messages" in out.stderr.decode() + out.stdout.decode(errors="replace"), out.stderr.decode()[-1500:]
    return [message.split(b"\x01") for message in out.stdout.split(b"\x03\n")[:count]]


def properties(prints):
    wanted = [f"print.{name}=true" for name in prints if name != "value"] + [f"print.value={str('value' in prints).lower()}"]
    wanted += ["key.separator=\x01", "line.separator=\x03\n", "headers.separator=,"]
    return [word for one in wanted for word in ("--formatter-property", one)]


def lines_case(name, count, *args):
    def case():
        lines, where = suite.lines(count), topic(name, 6)
        produce(where, [(suite.key(number), line) for number, line in enumerate(lines)], *args)
        order = Order(lines)
        for key, value in consume(where, len(lines), "--from-beginning"):
            order.add(key, value)
        assert order.done(), f"{order.count} of {len(lines)} lines came"
    return case


def topic_command():
    where = topic("topics", 3, "--config", "retention.ms=12345")
    assert where in eventually(lambda: listed(where)), "the topic is listed"
    described = topics("--describe", "--topic", where)
    equal(len(re.findall(r"\tTopic: \S+\tPartition: \d+\tLeader: 1\tReplicas: 1\tIsr: 1", described)), 3, "partitions described")
    assert "PartitionCount: 3\tReplicationFactor: 1\tConfigs: " in described and "retention.ms=12345" in described, described
    topics("--alter", "--topic", where, "--partitions", "5")
    eventually(lambda: equal(topics("--describe", "--topic", where).count("\tPartition: "), 5, "partitions after adding two"))
    assert "already exists" in topics("--create", "--topic", where, code=1), "a second one is refused"
    topics("--create", "--topic", where, "--if-not-exists")
    topics("--delete", "--topic", where)
    eventually(lambda: equal(where in topics("--list").split(), False, "the topic is listed"))
    assert "does not exist as expected" in topics("--delete", "--topic", where, code=1), "a second deletion is refused"


def listed(where):
    names = topics("--list").split()
    assert where in names
    return names


def configs():
    where, tool_name = topic("configs"), "kafka.admin.ConfigCommand"
    assert "Completed updating config for topic" in tool(tool_name, "--alter", "--topic", where, "--add-config", "retention.ms=1000"), "alter"
    eventually(lambda: has("retention.ms=1000", tool(tool_name, "--describe", "--topic", where)))
    tool(tool_name, "--alter", "--topic", where, "--delete-config", "retention.ms")
    eventually(lambda: equal("retention.ms" in tool(tool_name, "--describe", "--topic", where), False, "retention.ms is described"))
    assert "InvalidConfigurationException" in tool(tool_name, "--alter", "--topic", where, "--add-config", "retention.ms=soon", code=1), "wrong"
    has("num.network.threads=3", tool(tool_name, "--describe", "--broker", "1", "--all"))
    tool(tool_name, "--alter", "--broker-defaults", "--add-config", "log.cleaner.threads=2")
    eventually(lambda: has("log.cleaner.threads=2", tool(tool_name, "--describe", "--broker-defaults")))
    tool(tool_name, "--alter", "--broker-defaults", "--delete-config", "log.cleaner.threads")


def has(part, text):
    assert part in text, f"no {part} in {text[:1500]}"


def headers_and_nulls():
    where = topic("headers")
    tool(TOOLS + "ConsoleProducer", "--topic", where, *[word for one in ("parse.headers=true", "parse.key=true", "null.marker=NIL")
                                                        for word in ("--reader-property", one)], stdin=b"a:1,b:2\tkey\tvalue\nNIL\tNIL\tNIL\n")
    equal(consume(where, 2, "--from-beginning", prints=("headers", "key", "value")),
          [[b"a:1,b:2", b"key", b"value"], [b"NO_HEADERS", b"null", b"null"]], "records")


def offsets():
    where = topic("offsets", 2)
    before = int(time.time() * 1000)
    produce(where, [(suite.key(number), b"v") for number in range(100)])
    name = TOOLS + "GetOffsetShell"

    def total(time_asked):
        out = tool(name, "--topic", where, "--time", str(time_asked)).split()
        return [line.rsplit(":", 1)[0] for line in out], sum(int(line.rsplit(":", 1)[1] or 0) for line in out)

    equal(total(-1), ([f"{where}:0", f"{where}:1"], 100), "latest")
    equal(total(-2)[1], 0, "earliest")
    equal(total(before)[1], 0, "offsets of the time before the first")
    equal(tool(name, "--topic-partitions", f"{where}:1").split()[0].split(":")[:2], [where, "1"], "one partition")


def delete_records():
    where = topic("delete-records")
    produce(where, [(b"k", b"v%d" % number) for number in range(100)])
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"partitions": [{"topic": where, "partition": 0, "offset": 40}], "version": 1}, file)
        file.flush()
        has(f"partition: {where}-0\tlow_watermark: 40", tool(TOOLS + "DeleteRecordsCommand", "--offset-json-file", file.name))
    equal(consume(where, 1, "--from-beginning", prints=("offset", "value")), [[b"Offset:40", b"v40"]], "the first record that is left")
    equal(consume(where, 2, "--partition", "0", "--offset", "70", prints=("offset", "value"))[1], [b"Offset:71", b"v71"], "the second from 70")


def groups():
    where, group, name = topic("groups", 2), unique("tools-groups"), TOOLS + "consumer.group.ConsumerGroupCommand"
    produce(where, [(suite.key(number), b"v") for number in range(100)])
    consume(where, 100, "--from-beginning", "--group", group)
    assert group in tool(name, "--list").split(), "the group is listed"
    equal(lags(tool(name, "--describe", "--group", group), where), (100, 0), "offsets and lags")
    has("Empty", tool(name, "--describe", "--group", group, "--state"))
    tool(name, "--reset-offsets", "--group", group, "--topic", where, "--to-earliest", "--execute")
    equal(lags(tool(name, "--describe", "--group", group), where), (0, 100), "offsets and lags after the reset")
    consume(where, 100, "--group", group)
    tool(name, "--delete-offsets", "--group", group, "--topic", f"{where}:0")
    rows = [line.split() for line in tool(name, "--describe", "--group", group).splitlines() if where in line]
    equal([row[2] for row in rows], ["1"], "partitions with an offset")
    has("was successful", tool(name, "--delete", "--group", group))
    assert group not in tool(name, "--list").split(), "the group is gone"


def lags(described, where):
    rows = [line.split() for line in described.splitlines() if where in line]
    equal(len(rows), 2, f"rows of {described}")
    return sum(int(row[3]) for row in rows), sum(int(row[5]) for row in rows)


def three_members():
    """Console consumers of one group in turn, each with a share: together they read everything, once."""
    where, group, offsets_read = topic("three", 3), unique("tools-three"), []
    produce(where, [(suite.key(number), b"v") for number in range(3_000)])
    for first in ("--from-beginning", None, None):
        args = [first] if first else []
        offsets_read += consume(where, 1_000, "--group", group, *args, prints=("partition", "offset"))
    equal(len({tuple(one) for one in offsets_read}), 3_000, "records read, each once")


def cluster():
    name = TOOLS + "ClusterTool"
    has("Cluster ID: ", tool(name, "cluster-id", "--bootstrap-server", BOOTSTRAP))
    has("localhost", tool(name, "list-endpoints", "--bootstrap-server", BOOTSTRAP))
    versions = tool(TOOLS + "BrokerApiVersionsCommand")
    has("Produce(0): 0 to 13 [usable: 13]", versions)
    has("Fetch(1): 4 to 18 [usable: 18]", versions)
    has("LeaderId:", tool(TOOLS + "MetadataQuorumCommand", "describe", "--status"))
    has("Leader", tool(TOOLS + "MetadataQuorumCommand", "describe", "--replication"))


def log_dirs():
    where = topic("log-dirs")
    produce(where, [(b"k", b"v" * 100)])
    out = tool(TOOLS + "LogDirsCommand", "--describe", "--topic-list", where)
    described = json.loads(out.splitlines()[-1])
    partitions = described["brokers"][0]["logDirs"][0]["partitions"]
    equal([one["partition"] for one in partitions], [f"{where}-0"], "partitions")
    assert partitions[0]["size"] > 100, partitions


def performance():
    where = topic("performance", 3)
    out = tool(TOOLS + "ProducerPerformance", "--topic", where, "--num-records", "50000", "--record-size", "100", "--throughput", "-1")
    has("50000 records sent", out)
    out = tool(TOOLS + "ConsumerPerformance", "--topic", where, "--num-records", "50000")
    equal(out.splitlines()[-1].split(",")[4].strip(), "50000", "records consumed")


def verifiable():
    where, group = topic("verifiable", 3), unique("tools-verifiable")
    out = tool(TOOLS + "VerifiableProducer", "--topic", where, "--max-messages", "1000", "--acks", "-1")
    equal(out.count('"name":"producer_send_success"'), 1000, "sends")
    done = subprocess.run(command(TOOLS + "VerifiableConsumer", "--bootstrap-server", BOOTSTRAP, "--topic", where, "--group-id", group,
                                  "--max-messages", "1000", "--reset-policy", "earliest"), capture_output=True, timeout=120, check=False)
    consumed = [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]
    equal(sum(one["count"] for one in consumed if one["name"] == "records_consumed"), 1000, "records consumed")
    assert all(one["success"] for one in consumed if one["name"] == "offsets_committed"), "the commits succeed"


CASES = [("many_lines_in_order_per_key", lines_case("many", suite.MANY, "--compression-codec", "lz4"))]
CASES += [(f"codec_{codec}", lines_case(f"codec-{codec}", 20_000, "--compression-codec", codec))
          for codec in ("none", "gzip", "snappy", "zstd")]
CASES += [("topics", topic_command), ("configs", configs), ("headers_and_nulls", headers_and_nulls), ("offsets", offsets),
          ("delete_records", delete_records), ("groups", groups), ("group_of_three_in_turn", three_members), ("cluster", cluster),
          ("log_dirs", log_dirs), ("performance", performance), ("verifiable_producer_and_consumer", verifiable)]

if __name__ == "__main__":
    suite.run(CASES)
