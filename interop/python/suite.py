"""Runs the cases of a suite written in Python and counts them; what every such suite knows of its broker."""

import os
import subprocess
import sys
import threading
import time
import traceback
import uuid

BOOTSTRAP = os.environ.get("BOOTSTRAP", "localhost:9092")
RESTART = os.environ.get("RESTART", "")
MANY = int(os.environ.get("LINES", "1000000"))
KEYS = 97
# Seconds that anything awaited may take.
LIMIT = 60
_RUN = uuid.uuid4().hex[:8]
_ONLY = [name for name in os.environ.get("ONLY", "").split(",") if name]


class Skip(Exception):
    """The case cannot run here."""


def unique(name):
    """A name of a topic or group that no other run uses."""
    return f"py-{name}-{_RUN}"


_lines = []


def lines(count):
    """The first `count` lines of the corpus, as bytes."""
    if not _lines:
        with open(os.environ.get("LINES_FILE", "lines.txt"), "rb") as file:
            _lines.extend(file.read().split(b"\n")[:-1])
    return _lines[:count]


def key(line):
    """The key that the line of this number is sent with."""
    return b"k%d" % (line % KEYS)


class Order:
    """Checks that the records of every key come in the order their lines were sent, each once."""

    def __init__(self, expected):
        self.expected = expected
        self.next = [0] * KEYS
        self.count = 0

    def add(self, record_key, value):
        number = int(record_key[1:])
        line = number + KEYS * self.next[number]
        self.next[number] += 1
        assert line < len(self.expected), f"key {number} has a line too many"
        assert value == self.expected[line], f"line {line}: got {value!r}, expected {self.expected[line]!r}"
        self.count += 1

    def done(self):
        return self.count == len(self.expected)


def equal(got, expected, what):
    """Fails with both values."""
    assert got == expected, f"{what}: got {got!r}, expected {expected!r}"


def eventually(body, limit=LIMIT):
    """A broker applies metadata a moment after the controller answered: repeats a question until its answer is right."""
    end = time.monotonic() + limit
    while True:
        try:
            return body()
        except Exception:
            if time.monotonic() > end:
                raise


class Deadline:
    """True until the time is over."""

    def __init__(self, what, seconds=LIMIT):
        self.what, self.end = what, time.monotonic() + seconds

    def __bool__(self):
        assert time.monotonic() < self.end, f"in vain awaited {self.what}"
        return True


def restart():
    """Restarts the broker."""
    if not RESTART:
        raise Skip("the broker is not ours to restart")
    subprocess.run(RESTART, shell=True, check=True, timeout=180)


class Group:
    """What the members of a group processed; `member(group, name)` runs in a thread and calls `processed` and `owns`."""

    def __init__(self, member):
        self.member = member
        self.changed = threading.Condition()
        self.seen = set()
        self.owned = {}
        self.leaving = {}
        self.threads = {}
        self.error = None

    def join(self, name):
        self.leaving[name] = threading.Event()
        self.threads[name] = threading.Thread(target=self._run, args=(name,), daemon=True)
        self.threads[name].start()

    def _run(self, name):
        try:
            self.member(self, name)
        except Exception as error:
            traceback.print_exc()
            with self.changed:
                self.error = error
                self.changed.notify_all()

    def leave(self, name):
        self.leaving[name].set()
        self.threads[name].join(LIMIT)
        with self.changed:
            self.owned.pop(name, None)

    def owns(self, name, count):
        with self.changed:
            self.owned[name] = count
            self.changed.notify_all()

    def processed(self, records):
        """Counts (partition, offset) pairs whose commit succeeded."""
        with self.changed:
            for record in records:
                if record in self.seen:
                    self.error = AssertionError(f"read twice: {record}")
                self.seen.add(record)
            self.changed.notify_all()

    def wait(self, what, condition):
        with self.changed:
            held = self.changed.wait_for(lambda: self.error or condition(self), LIMIT)
            assert self.error is None, f"{what}: {self.error!r}"
            assert held, f"in vain awaited that {what}; {len(self.seen)} processed, owned {self.owned}"

    def close(self):
        for name in self.threads:
            self.leave(name)


def join_and_leave(member, send, phase=2000):
    """Three members join a group one after another, one leaves, another joins; `send(count)` adds records in between."""
    group = Group(member)
    try:
        group.join("first")
        send(phase)
        group.wait("the first member reads all", lambda group: len(group.seen) == phase)
        group.join("second")
        group.join("third")
        group.wait("three own two each", lambda group: sorted(group.owned.values()) == [2, 2, 2])
        send(phase)
        group.wait("three read all", lambda group: len(group.seen) == 2 * phase)
        group.leave("first")
        group.wait("two own three each", lambda group: sorted(group.owned.values()) == [3, 3])
        send(phase)
        group.wait("two read all", lambda group: len(group.seen) == 3 * phase)
        group.join("fourth")
        group.wait("three own two each again", lambda group: sorted(group.owned.values()) == [2, 2, 2])
        send(phase)
        group.wait("all is read", lambda group: len(group.seen) == 4 * phase)
    finally:
        group.close()
    assert group.error is None, repr(group.error)


def run(cases):
    """Runs (name, function) pairs, prints a line for each and the counts, and ends the program."""
    passed = failed = skipped = 0
    for name, body in cases:
        if _ONLY and name not in _ONLY:
            continue
        start = time.monotonic()
        try:
            body()
            passed += 1
            print(f"PASS {name} {time.monotonic() - start:.1f}", flush=True)
        except Skip as skip:
            skipped += 1
            print(f"SKIP {name}: {skip}", flush=True)
        except Exception as error:
            failed += 1
            print(f"FAIL {name}: {error!r}".replace("\n", " "), flush=True)
            traceback.print_exc()
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    os._exit(0 if failed == 0 else 1) if passed else sys.exit(1)
