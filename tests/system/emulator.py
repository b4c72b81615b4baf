# SPDX-License-Identifier: MIT
"""The emulator before its judges, a share of each; by hand they run for hours (tests/emulator)."""
from harness import Command

VECTORS = "../shared/sst286.sstb.gz"


def judge(name, program, *args, needs=(), seconds=40, status=0):
    return Command(name, [program, *args], needs=[program, *needs], timeout=2 * seconds + 60,
                   weight=seconds, status=status)


TESTS = [
    judge("emulator against the CPU, random", "build/oracle/native", "--seconds", "10"),
    judge("emulator against the CPU, systematic", "build/oracle/native", "--systematic",
          "--seconds", "10"),
    judge("emulator against an 80286", "build/oracle/sst286", VECTORS, needs=[VECTORS],
          seconds=15),
    judge("disassembler against Zydis", "build/oracle/zydis", "--seconds", "4", seconds=15),
    judge("emulator fuzzed", "build/fuzz/emulator", "-max_total_time=15", "-max_len=512",
          "-print_final_stats=1", seconds=15),
]
