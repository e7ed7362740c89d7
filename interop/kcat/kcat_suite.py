"""kcat against the broker at BOOTSTRAP: what its command line can say, with lines going in and out through pipes."""

import json
import os
import subprocess
import time

import suite
from suite import BOOTSTRAP, Order, equal, eventually, unique


def kcat(*args, stdin=b"", limit=300):
    """Runs kcat and returns what it printed."""
    done = subprocess.run(["kcat", "-b", BOOTSTRAP, *args], input=stdin, capture_output=True, timeout=limit, check=False)
    assert done.returncode == 0, f"kcat {' '.join(args)}: {done.stderr.decode(errors='replace')[-500:]}"
    return done.stdout


def produce(where, keyed, *args):
    """Sends (key, value) pairs."""
    text = b"".join(key + b"\x01" + value + b"\n" for key, value in keyed)
    kcat("-P", "-t", where, "-K", "\x01", *args, stdin=text)


def consume(where, *args, form="%p\x02%o\x02%k\x02%s\x03"):
    """Reads a topic to its end: a list of the fields of `form` for each message."""
    out = kcat("-C", "-t", where, "-e", "-q", "-X", "fetch.wait.max.ms=100", "-f", form, *args)
    return [message.split(b"\x02") for message in out.split(b"\x03")[:-1]]


def topic(name):
    """The name of a topic that the broker creates at the first metadata request for it."""
    where = unique("kcat-" + name)

    def leads():
        described = json.loads(kcat("-L", "-J", "-t", where, "-X", "allow.auto.create.topics=true"))["topics"][0]
        assert described["partitions"] and all(part["leader"] >= 0 for part in described["partitions"]), described

    eventually(leads)
    return where


def filled(lines):
    """kcat sends no message for an empty line."""
    return [line for line in lines if line]


def lines_case(name, count, *args):
    def case():
        lines, where = filled(suite.lines(count)), topic(name)
        produce(where, [(suite.key(number), line) for number, line in enumerate(lines)], *args)
        order = Order(lines)
        for _, _, key, value in consume(where):
            order.add(key, value)
        assert order.done(), f"{order.count} of {len(lines)} lines came"
    return case


def headers():
    where = topic("headers")
    kcat("-P", "-t", where, "-H", "a=1", "-H", "b=two words", stdin=b"value\n")
    equal(consume(where, form="%h\x02%s\x03"), [[b"a=1,b=two words", b"value"]], "headers and value")


def nulls():
    where = topic("nulls")
    kcat("-P", "-t", where, "-Z", "-K", ":", stdin=b"key:\n:value\nkey:value\n")
    equal(consume(where, form="%K\x02%k\x02%S\x02%s\x03"),
          [[b"3", b"key", b"-1", b""], [b"-1", b"", b"5", b"value"], [b"3", b"key", b"5", b"value"]], "records")


def timestamps():
    where = topic("timestamps")
    before = int(time.time() * 1000)
    produce(where, [(b"k", b"v%d" % number) for number in range(10)])
    after = int(time.time() * 1000)
    stamps = [int(stamp) for stamp, _ in consume(where, form="%T\x02%o\x03")]
    assert all(before <= stamp <= after for stamp in stamps) and len(stamps) == 10, stamps
    equal(kcat("-Q", "-t", f"{where}:0:{before}").split()[-1], b"0", "offset of the time before the first")
    equal(kcat("-Q", "-t", f"{where}:0:-1").split()[-1], b"10", "the end")
    equal(kcat("-Q", "-t", f"{where}:0:-2").split()[-1], b"0", "the beginning")
    first = consume(where, "-o", f"s@{stamps[5]}", form="%T\x02%o\x03")[0]
    equal(int(first[0]), stamps[5], "the first message from a time on")


def seek():
    where = topic("seek")
    produce(where, [(b"k", b"v%d" % number) for number in range(1000)])
    equal(consume(where, "-p", "0", "-o", "995", form="%s\x03"), [[b"v%d" % n] for n in range(995, 1000)], "from 995")
    equal(consume(where, "-p", "0", "-o", "-2", form="%s\x03"), [[b"v998"], [b"v999"]], "the last two")
    equal(consume(where, "-p", "0", "-o", "500", "-c", "1", form="%s\x03"), [[b"v500"]], "one from 500")


def group():
    """Three members read what was sent while each of them leaves in turn; each message comes once."""
    where, name, seen, sent = topic("group"), unique("kcat-group"), [], 0
    for member in range(3):
        produce(where, [(suite.key(number), b"v%d" % number) for number in range(sent, sent + 1000)])
        sent += 1000
        out = kcat("-G", name, "-e", "-q", "-f", "%o\n", "-X", "auto.offset.reset=earliest", "-X", "fetch.wait.max.ms=100",
                   "-X", f"client.id=member-{member}", where)
        seen += out.split()
    equal([int(offset) for offset in seen], list(range(sent)), "offsets that the members read")


def restart():
    """A producer that a pipe feeds lives through a restart of the broker."""
    if not suite.RESTART:
        raise suite.Skip("the broker is not ours to restart")
    lines, where = filled(suite.lines(20_000)), topic("restart")
    producer = subprocess.Popen(["kcat", "-b", BOOTSTRAP, "-P", "-E", "-t", where, "-K", "\x01", "-X", "enable.idempotence=true"],
                                stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    half = len(lines) // 2
    feed(producer, enumerate(lines[:half]))
    eventually(lambda: waits_for_some(where))
    suite.restart()
    feed(producer, enumerate(lines[half:], half))
    producer.stdin.close()
    equal(producer.wait(120), 0, "exit code of the producer")
    order = Order(lines)
    for _, _, key, value in consume(where):
        order.add(key, value)
    assert order.done(), f"{order.count} of {len(lines)} lines came"


def feed(producer, numbered):
    producer.stdin.write(b"".join(suite.key(number) + b"\x01" + line + b"\n" for number, line in numbered))
    producer.stdin.flush()


def waits_for_some(where):
    assert int(kcat("-Q", "-t", f"{where}:0:-1").split()[-1]) > 0, "nothing is there yet"


def metadata():
    where = topic("metadata")
    described = json.loads(kcat("-L", "-J"))
    equal(len(described["brokers"]), 1, "brokers")
    assert where in {one["topic"] for one in described["topics"]}, "the topic is listed"


CASES = [("many_lines_in_order_per_key", lines_case("many", suite.MANY, "-z", "lz4"))]
CASES += [(f"codec_{codec}", lines_case(f"codec-{codec}", 20_000, "-z", codec)) for codec in ("none", "gzip", "snappy", "lz4", "zstd")]
CASES += [(f"acks_{acks}", lines_case(f"acks-{acks}", 20_000, "-X", f"acks={acks}")) for acks in (0, 1)]
CASES += [("metadata", metadata), ("headers", headers), ("null_keys_and_values", nulls), ("timestamps_and_lookup_by_time", timestamps),
          ("seek", seek), ("group_of_three_in_turn", group), ("idempotent_producer_through_a_restart", restart)]

if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    suite.run(CASES)
