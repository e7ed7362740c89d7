"""What a broker leaves on disk, read by Apache Kafka's tools and by the other broker; needs the jars in KAFKA_HOME.

The cases build on each other: they fill one broker, end it in every way, and look at the same directory.
"""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import suite
from suite import BOOTSTRAP, RESTART, Skip, equal, eventually

HOME = os.environ["KAFKA_HOME"]
CLASSES = os.environ["CLASSES"]
DUMP = "org.apache.kafka.tools.DumpLogSegments"
SHELL = "org.apache.kafka.shell.MetadataShell"
# Topics whose logs may have gaps, because a cleaner works on them.
COMPACTED = ("__consumer_offsets-", "__transaction_state-", "__share_group_state-", "disk-compact-", "swap-compact-")
_, _, KIND, _, FOLDER = shlex.split(RESTART) if RESTART else [""] * 5
OTHER = {"ottla": "apache-kafka", "apache-kafka": "ottla"}.get(KIND)
DATA = Path(FOLDER) / "data"
METADATA = DATA / "__cluster_metadata-0"


def java(name, *args):
    """Runs a program out of Kafka's jars; returns what it printed and what it complained of."""
    command = ["java", "-Xmx384M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{CLASSES}:{HOME}/libs/*",
               f"-Dlog4j2.configurationFile={HOME}/conf/log4j2.properties", name, *map(str, args)]
    done = subprocess.run(command, capture_output=True, timeout=300, check=False)
    out, said = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"{name} {' '.join(map(str, args))[:300]} ended with {done.returncode}: {said[-1500:]}"
    return out, said


def client(*verbs):
    return java("Disk", BOOTSTRAP, *verbs)[0]


def node(verb, kind=KIND):
    command = shlex.split(RESTART)
    command[2:4] = [kind, verb]
    subprocess.run(command, check=True, timeout=300)


def state():
    """What clients see of the broker, line by line."""
    return client("state", "offsets").splitlines()


def same(before, what):
    after = state()
    lost, new = [line for line in before if line not in after], [line for line in after if line not in before]
    assert before == after, f"{what}: before {lost[:3]}, after {new[:3]}"


def files(*suffixes, under="*"):
    found = sorted(path for suffix in suffixes for path in DATA.glob(f"{under}/*{suffix}"))
    return [path for path in found if not path.parent.name.endswith(("-delete", "-stray"))]


def dump(paths, *args):
    """Dumps the files one after another; returns the lines that were printed for each."""
    out, said = java(DUMP, *args, "--files", ",".join(map(str, paths)))
    no_complaint(said)
    parts = {}
    for line in out.splitlines():
        if line.startswith("Dumping "):
            lines = parts.setdefault(Path(line[len("Dumping "):]), [])
        else:
            lines.append(line)
            wrong = not line.startswith("|") and re.search(r"isvalid: false|Found |[Mm]ismatch|xception|invalid", line)
            assert not wrong and "Error at " not in line, f"{line[:300]}"
    equal(sorted(parts), sorted(paths), "files dumped")
    return parts


def no_complaint(said):
    """The tool calls the first record of every segment but the first one non-consecutive; anything else is a complaint."""
    path = ""
    for line in filter(None, said.splitlines()):
        if line.startswith("Non-consecutive offsets in "):
            path = Path(line[len("Non-consecutive offsets in "):])
            continue
        pair = re.fullmatch(r"  (-?\d+) is followed by (\d+)", line)
        assert pair and path, line
        first = pair[1] == "-1" and (path.suffix == ".log" and int(path.stem) == int(pair[2]))
        assert first or path.parent.name.startswith(COMPACTED), f"{path}: {line}"


def records(lines):
    return [line for line in lines if line.startswith("| offset: ")]


def check_files(seen):
    """Every file is read without complaint, and the logs hold what clients saw."""
    ours = {path for path in files(".log", ".index", ".timeindex", ".txnindex", ".snapshot")}
    metadata = {path for path in ours if path.parent == METADATA}
    offsets = {path for path in ours if path.parent.name.startswith("__consumer_offsets-")}
    parts = dump(sorted(ours - metadata - offsets), "--deep-iteration", "--print-data-log")
    check_counts(seen, parts)
    check_offsets(seen, dump(sorted(offsets), "--deep-iteration", "--offsets-decoder"))
    check_metadata(seen, sorted(metadata))
    indexes = sorted(path for path in ours if path.suffix in (".index", ".timeindex"))
    for path, lines in dump(indexes, "--index-sanity-check").items():
        said = "\n".join(lines)
        assert "passed sanity check" in said or "is empty" in said, f"{path}: {said}"
    assert any(path.suffix == ".snapshot" for path in ours), "there are snapshots of producers"
    assert any("producerId: " in line for path in ours if path.suffix == ".snapshot" for line in parts.get(path, [])), "with producers"


def check_counts(seen, parts):
    compared = 0
    for line in seen:
        if not line.startswith("records "):
            continue
        _, partition, _, end, _, _ = line.split()
        logs = [(path, lines) for path, lines in parts.items() if path.parent.name == partition and path.suffix == ".log"]
        if partition.startswith(COMPACTED) or not logs:
            continue
        first = min(int(path.stem) for path, _ in logs)
        equal(sum(len(records(lines)) for _, lines in logs), int(end) - first, f"records of {partition}")
        compared += 1
    assert compared > 10, f"{compared} partitions compared"


def check_offsets(seen, parts):
    """The last committed offset of each group and partition in the log is what clients see."""
    found = {}
    for path, lines in parts.items():
        for line in records(lines) if path.suffix == ".log" else ():
            key, value = re.search(r"key: (\{.*?\}\}) payload: (.*)", line).groups()
            key, value = json.loads(key), json.loads(value) if value.startswith("{") else None
            assert key["type"] in ("0", "1", "2"), line
            if key["type"] != "2":
                name = "{group} {topic}-{partition}".format(**key["data"])
                found[name] = value["data"]["offset"] if value else None
    wanted = {line.split(" ", 1)[1] for line in seen if line.startswith("group ")}
    assert wanted, "groups have offsets"
    equal({f"{name} {offset}" for name, offset in found.items() if offset is not None}, wanted, "committed offsets")
    assert any(name.startswith("disk-gone ") for name in found), "the deleted group left its tombstones"


def check_metadata(seen, paths):
    checkpoints = [*sorted(METADATA.glob("*.checkpoint")), *DATA.glob("bootstrap.checkpoint")]
    parts = dump(paths + checkpoints, "--deep-iteration", "--cluster-metadata-decoder")
    text = "\n".join(line for lines in parts.values() for line in lines)
    for line in seen:
        if line.startswith("topic "):
            _, name, topic_id, _ = line.split()
            assert f'"name":"{name}","topicId":"{topic_id}"' in text, f"{name} is not in the metadata log"
    for record in ("FEATURE_LEVEL_RECORD", "REGISTER_BROKER", "PARTITION_RECORD", "CONFIG_RECORD", "PRODUCER_IDS_RECORD"):
        assert record in text, f"there is no {record}"


def shell(path, *command):
    return java(SHELL, "--snapshot", path, *command)[0].split()


def check_shell(seen, path):
    """The metadata shell shows the topics and the broker that clients see; it may answer before it has read all."""
    topics = [line.split()[1] for line in seen if line.startswith("topic ")]

    def shown():
        return [name for name in shell(path, "ls", "/image/topics/byName") if not name.startswith("__")]
    eventually(lambda: equal(shown(), topics, "topics in the shell"))
    eventually(lambda: equal(shell(path, "ls", "/image/cluster/brokers"), ["1"], "brokers in the shell"))


def write():
    if not RESTART:
        raise Skip("the broker is not ours to stop")
    client("write", "commit")
    seen = state()
    names = [line.split()[1] for line in seen if line.startswith("topic ")]
    assert "disk-deleted" not in names, "a deleted topic is gone"
    assert any(re.fullmatch(r"topic disk-grown \S+ 4", line) for line in seen), "partitions were added"
    assert any(line.startswith("records disk-trimmed-0 120 300 180 ") for line in seen), "records were deleted"
    of = {tuple(line.split(" ")[1:3]): line for line in seen if line.startswith("config ")}
    for resource, setting in ((("TOPIC", "disk-grown"), "retention.ms=1234567"), (("TOPIC", "disk-grown"), "max.message.bytes=654321"),
                              (("BROKER", "1"), "message.max.bytes=1048600"), (("BROKER", ""), "num.io.threads=9"),
                              (("BROKER", ""), "log.retention.ms=86400000")):
        assert setting in of[resource].split(), f"{setting} is not in {of[resource]}"
    assert "index.interval.bytes=512" not in of[("TOPIC", "disk-none")], "a setting was deleted"


def clean_stop():
    before = state()
    node("stop")
    check_files(before)
    log = max(METADATA.glob("*.log"))
    changes = [line for line in dump([log], "--cluster-metadata-decoder")[log] if "BROKER_REGISTRATION_CHANGE_RECORD" in line]
    assert '"fenced":1' in changes[-1], f"the broker left the cluster: {changes[-1]}"
    epoch = json.loads((DATA / ".kafka_cleanshutdown").read_text(encoding="utf-8"))["brokerEpoch"]
    assert epoch >= 0, "the epoch of the broker that stopped is known"
    node("start")
    same(before, "after a clean stop")


def kill():
    client("more", "commit")
    before = state()
    node("kill")
    node("start")
    same(before, "after kill -9")
    client("more", "commit")
    before = state()
    node("kill")
    node("start")
    node("stop")
    check_files(before)
    check_shell(before, max(METADATA.glob("*.log")))
    node("start")
    same(before, "after two restarts")


def metadata_snapshot():
    node("stop")
    with open(Path(FOLDER) / "server.properties", "a", encoding="utf-8") as properties:
        properties.write("metadata.log.max.record.bytes.between.snapshots=3000\nmetadata.log.segment.ms=1000\n"
                         "metadata.max.retention.bytes=1000\ninternal.metadata.delete.delay.millis=0\n")
    node("start")
    client("more", "commit")

    def first_segment_is_gone():
        # The log is cut before a snapshot once there is a later one, so something has to change until then.
        client("more")
        equal(len(list(METADATA.glob("00000000000000000000.log"))), 0, "first segments")
    eventually(first_segment_is_gone, 150)
    before = state()
    for end in ("kill", "stop"):
        node(end)
        snapshots = sorted(METADATA.glob("*.checkpoint"))
        assert snapshots, "there is a snapshot"
        node("start")
        same(before, f"after {end}, from {snapshots[-1].name}")
    client("more")
    before = state()
    node("stop")
    check_files(before)
    newest = max(METADATA.glob("*.checkpoint"))
    check_shell(topics_of(newest, before), newest)
    node("start")
    same(before, "after a snapshot and more")


def topics_of(snapshot, seen):
    """The lines of the topics that a snapshot covers: those that its dump names."""
    text = "\n".join(dump([snapshot], "--deep-iteration", "--cluster-metadata-decoder")[snapshot])
    return [line for line in seen if line.startswith("topic ") and line.split()[2] in text]


def other_broker(end):
    """The other broker starts on the directory, sees the same, adds to it, and hands it back; both are ended by `end`."""
    def case():
        before = state()
        node(end)
        node("start", OTHER)
        if end == "stop":
            said = (Path(FOLDER) / "broker.log").read_text(encoding="utf-8", errors="replace")
            assert "DUPLICATE_BROKER_REGISTRATION" not in said, "the session of the broker that stopped is over"
        try:
            eventually(lambda: same(before, f"in {OTHER}"))
            client("more", "commit")
            before = state()
        finally:
            node(end, OTHER)
        if end == "stop":
            check_files(before)
        node("start")
        same(before, f"back from {OTHER}")
        client("more", "commit")
        before = state()
        node("stop")
        check_files(before)
        node("start")
        same(before, "after all")
    return case


if __name__ == "__main__":
    suite.run([("write", write), ("clean_stop", clean_stop), ("kill", kill), ("other_broker", other_broker("stop")),
               ("metadata_snapshot", metadata_snapshot), ("other_broker_after_kill_and_snapshot", other_broker("kill"))])
