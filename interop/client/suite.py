"""The native Rust client against the broker at BOOTSTRAP: the tests of crates/client/tests, one case each."""

import os
import re
import subprocess
import sys

TESTS = ["producer", "consumer", "admin", "restart"]


def main():
    environment = dict(os.environ, OTTLA_BOOTSTRAP=os.environ["BOOTSTRAP"])
    if "RESTART" in os.environ:
        environment["OTTLA_RESTART"] = os.environ["RESTART"]
    command = ["cargo", "test", "--quiet", "--package", "ottla-client", "--no-fail-fast"]
    for test in TESTS:
        command += ["--test", test]
    command += ["--", "--format", "pretty", "--test-threads", "1"]
    passed, failed = 0, 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as tests:
        for line in tests.stdout:
            case = re.match(r"test (\w+) \.\.\. (ok|FAILED)$", line.rstrip())
            if not case:
                print(line, end="", file=sys.stderr)
            elif case[2] == "ok":
                passed += 1
                print(f"PASS {case[1]}", flush=True)
            else:
                failed += 1
                print(f"FAIL {case[1]}: see above", flush=True)
    if tests.returncode != 0 and failed == 0:
        failed += 1
        print("FAIL tests: they did not run")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
