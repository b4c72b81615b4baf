#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The test driver."""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0


def run_unit(binary):
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP",
               UBSAN_OPTIONS="print_stacktrace=1", ASAN_OPTIONS="detect_leaks=1")
    start = time.monotonic()
    try:
        done = subprocess.run([binary], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, env=env, timeout=300)
        code, text = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        code, text = 124, (late.stdout or b"").decode(errors="replace") + "\ntimed out\n"
    return binary, code, text, time.monotonic() - start


def unit(binaries, jobs, tally):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for binary, code, text, seconds in pool.map(run_unit, binaries):
            bad = len(re.findall(r"(?m)^not ok\b", text))
            skip = len(re.findall(r"(?m)^ok\b.*# SKIP", text))
            good = len(re.findall(r"(?m)^ok\b", text)) - skip
            if code != 0 and bad == 0:
                bad = 1
            tally.passed += good
            tally.failed += bad
            tally.skipped += skip
            if bad:
                print(text)
            print(f"{'FAIL' if bad else 'ok':4} {os.path.basename(binary)}: {good} passed, "
                  f"{bad} failed, {skip} skipped ({seconds:.1f} s)", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("what", choices=["unit"])
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    tally = Tally()
    unit(args.files, args.jobs, tally)
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
