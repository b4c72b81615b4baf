#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The test driver behind `make test`: checks, unit tests, guests and whole boots.

run.py [--jobs N] [WHAT ...]     WHAT: check, unit, system, or a part of a test's name (all)

Each test's output is kept in build/logs/. The last line counts: N passed, N failed, N skipped.
"""
import argparse
import concurrent.futures
import glob
import importlib.util
import os
import subprocess
import sys
import time

from harness import Command, Result, ROOT


class Report:
    """Prints outcomes as they come, and counts them."""

    def __init__(self):
        self.count = {"ok": 0, "FAIL": 0, "skip": 0}
        self.failed = []
        self.start = time.monotonic()

    def add(self, result, left):
        counts = result.counts()
        for outcome, number in counts.items():
            self.count[outcome] += number
        name = result.test.name
        note = f": {result.why}" if result.why else ""
        if result.outcome == "ok" and result.cases:
            note = f": {counts['ok']} passed" + f", {counts['skip']} skipped" * bool(counts["skip"])
        print(f"{result.outcome:4} {name}{note}  [{result.seconds:.1f} s"
              f"{f', {left} to go' if left else ''}]", flush=True)
        if result.outcome == "FAIL":
            self.failed.append(f"{name}{note}")
            self.show(result.test.log())

    @staticmethod
    def show(path, lines=40):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read().replace("\r", "").splitlines()
        except OSError:
            return
        for line in text[:1] + text[1:][-lines:]:
            print(f"     | {line}")
        print(f"     | (all of it: {os.path.relpath(path, ROOT)})", flush=True)

    def close(self):
        minutes = (time.monotonic() - self.start) / 60
        print(f"took {minutes:.1f} minutes")
        for line in self.failed:
            print(f"FAIL {line}")
        print(f"{self.count['ok']} passed, {self.count['FAIL']} failed, "
              f"{self.count['skip']} skipped", flush=True)
        return 1 if self.count["FAIL"] or not self.count["ok"] else 0


def unit_tests(build):
    names = sorted(os.path.basename(path)[:-2] for path in glob.glob("tests/unit/test_*.c"))
    return [Command(f"unit {name[5:]}", ["env", "CMOCKA_MESSAGE_OUTPUT=TAP", f"{build}/unit/{name}"],
                    timeout=300, parts=True) for name in names]


def system_tests():
    tests = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/system/*.py"))):
        spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tests += module.TESTS
    names = [test.name for test in tests]
    assert len(names) == len(set(names)), "two tests of one name"
    return tests


def run_tests(tests, jobs, report):
    tests = sorted(tests, key=lambda test: -test.weight)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(test.run) for test in tests]
        for left, done in enumerate(concurrent.futures.as_completed(running)):
            report.add(done.result(), len(tests) - left - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--build", default="build", help="folder of the unit tests")
    parser.add_argument("what", nargs="*", help="check, unit, system, or part of a test's name")
    args = parser.parse_args()
    os.chdir(ROOT)
    what = args.what or ["check", "unit", "system"]
    parts = [word for word in what if word not in ("check", "unit", "system")]
    report = Report()
    if "check" in what:
        env = {name: value for name, value in os.environ.items() if "MAKE" not in name}
        checks = subprocess.run(["make", "-k", f"JOBS={args.jobs}", "check"], env=env, check=False,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        test = Command("make check", ["make", "check"])
        os.makedirs(os.path.dirname(test.log()), exist_ok=True)
        with open(test.log(), "wb") as log:
            log.write(b"$ make check\n" + checks.stdout)
        report.add(Result(test, "FAIL" if checks.returncode else "ok",
                          "findings" if checks.returncode else "",
                          time.monotonic() - report.start), 0)
    if "unit" in what:
        run_tests(unit_tests(args.build), args.jobs, report)
    run_tests([test for test in system_tests()
               if "system" in what or any(part in test.name for part in parts)], args.jobs, report)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
