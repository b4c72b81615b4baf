# SPDX-License-Identifier: MIT
"""The emulator against its judges: the host CPU, Zydis, a real 80286's log, and a fuzzer."""
from harness import Command

TESTS = [
    Command("emulator against the host CPU", ["build/oracle/native", "--seconds", "30"],
            timeout=120, weight=30),
    Command("decoder against Zydis", ["build/oracle/zydis", "--seconds", "15"], timeout=60,
            weight=15),
    Command("emulator against an 80286's log", ["build/oracle/sst286"], timeout=120, weight=20),
    Command("calls from an exit to a device's register: at most 6", ["tools/calls.py"],
            expect=["calls: exit_ept_violation > .* > page_read", "> page_write"], weight=3),
    Command("emulator under the fuzzer",
            ["build/fuzz/emulator", "-max_total_time=20", "-max_len=512", "-print_final_stats=1",
             "-error_exitcode=1"],
            timeout=120, weight=20),
]
