"""Brokers that take over from each other on one data directory while clients of every kind are at work.

Apache Kafka formats and starts; Ottla and Apache Kafka then take turns, three times around. Needs the jars in KAFKA_HOME.
"""

import hashlib
import os
import shutil
import subprocess
import threading

import suite
from disk_suite import DATA, FOLDER, KIND, METADATA, dump, files, java, node
from suite import BOOTSTRAP, RESTART, Skip, equal, eventually

CLUSTER = "AAAAAAAAAAAAAAAAAAAAAQ"
HOME = os.environ["KAFKA_HOME"]
CLASSES = os.environ["CLASSES"]
DECODERS = {"__consumer_offsets-": "--offsets-decoder", "__transaction_state-": "--transaction-log-decoder",
            "__share_group_state-": "--share-group-state-decoder", "__cluster_metadata-": "--cluster-metadata-decoder"}
# What a cleaner may change at any time, and so is not compared byte by byte.
CLEANED = ("__consumer_offsets-", "__transaction_state-", "swap-compact-")
# The share coordinator deletes what later records make redundant.
PRUNED = ("__share_group_state-",)
# Whoever takes over, how the one before ends, and whether the clients rest meanwhile.
ROUNDS = [("ottla", "stop", "rest"), ("apache-kafka", "stop", "work"), ("ottla", "stop", "work"), ("apache-kafka", "stop", "rest"),
          ("ottla", "kill", "work"), ("apache-kafka", "kill", "work")]


class Clients:
    """The program that does the work, and answers commands."""

    def __init__(self):
        command = ["java", "-Xmx700M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{CLASSES}:{HOME}/libs/*",
                   f"-Dlog4j2.configurationFile={HOME}/conf/log4j2.properties", "Swap", BOOTSTRAP]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command, limit=300):
        """The lines of the answer."""
        watch = threading.Timer(limit, self.process.kill)
        watch.start()
        try:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
            lines = []
            for line in self.process.stdout:
                if line.rstrip("\n") == "end":
                    return lines
                lines.append(line.rstrip("\n"))
        finally:
            watch.cancel()
        raise AssertionError(f"the clients ended at {command}: {lines[-3:]}")

    def state(self):
        """What they see of the broker. Not compared: what a cleaner left, and where a time-out may write a marker at any time."""
        moving = ("records swap-compact-", "records swap-abandoned-")
        return [line for line in self.ask("state") if not line.startswith(moving)]

    def at_work(self):
        """Waits until every one of them has got on."""
        before = self.ask("progress")

        def all_moved():
            stuck = [line for line in self.ask("progress") if line in before]
            assert not stuck, f"no progress: {stuck}"
        eventually(all_moved, 180)

    def end(self):
        self.process.kill()
        self.process.wait()


def sums():
    """Size and sum of every segment that no cleaner works on."""
    kept = [path for path in files(".log") if not path.parent.name.startswith(CLEANED)]
    return {path: (path.stat().st_size, digest(path, path.stat().st_size)) for path in kept}


def digest(path, size):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def check_kept(before):
    """What was in the logs is in them still, byte by byte."""
    for path, (size, sum_before) in before.items():
        if path.exists() or not path.parent.name.startswith((*PRUNED, METADATA.name)):
            equal(digest(path, size), sum_before, f"the first {size} bytes of {path}")


def check_dump():
    """Apache Kafka's tool reads every file without complaint."""
    paths = files(".log", ".index", ".timeindex", ".txnindex", ".snapshot")
    for prefix, decoder in DECODERS.items():
        special = [path for path in paths if path.parent.name.startswith(prefix)]
        paths = [path for path in paths if path not in special]
        if special:
            dump(special, "--deep-iteration", decoder)
    dump(paths, "--deep-iteration", "--print-data-log")
    dump(files(".index", ".timeindex"), "--index-sanity-check")


def begin():
    """Apache Kafka on a directory that it formatted itself."""
    node("stop")
    shutil.rmtree(DATA)
    java("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", f"{FOLDER}/server.properties")
    node("start", "apache-kafka")


def take_over(clients, running, after, end, how):
    if how == "rest":
        clients.ask("pause")
        before = clients.state()
    node(end, running)
    kept = sums()
    if end == "stop":
        check_dump()
    node("start", after)
    if how == "rest":
        eventually(lambda: same(before, clients.state(), after))
        clients.ask("resume")
    clients.at_work()
    check_kept(kept)
    print(f"-- {after} took over after {end}, clients at {how}", flush=True)


def same(before, now, what):
    lost, new = [line for line in before if line not in now], [line for line in now if line not in before]
    assert before == now, f"in {what}: lost {lost[:3]}, new {new[:3]}"


def three_times_around():
    if not RESTART:
        raise Skip("the broker is not ours to stop")
    begin()
    running = "apache-kafka"
    clients = Clients()
    try:
        clients.at_work()
        for after, end, how in ROUNDS:
            take_over(clients, running, after if KIND == "ottla" else "apache-kafka", end, how)
            running = after if KIND == "ottla" else "apache-kafka"
        said = clients.ask("finish", 600)
        wrong = [line for line in said if line.startswith("wrong: ")]
        assert not wrong, "; ".join(wrong)
        print("-- " + "; ".join(said), flush=True)
        node("stop", running)
        check_dump()
    finally:
        clients.end()
        node("kill", running)


if __name__ == "__main__":
    suite.run([("three_times_around", three_times_around)])
