#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure Vitrine on Bochs, where a tick of the TSC is an instruction: what exits cost, what it
adds to Linux's boot, and its size. A report, not a test: no figure makes it fail. With --trace only what tracing adds to exits,
and that is a test.

Linux's boot is from the 32-bit entry of the compressed kernel, which decompresses itself for some
90 M ticks, to the first user-space instruction, at equal memory and clock rate; in three ways:
  as they come   bare and under Vitrine with one command line. The bare machine also calibrates its
                 APIC timer and TSC and has PCI, HPET, keyboard and larger ACPI tables.
  made alike     with the command line ALIKE, which takes those and "fast strings" from both, and
                 without the APIC timer's calibration on the bare machine (BARE_ONLY).
  without exits  the guest's time less all ticks that Vitrine ran: what the same boot would take if
                 its exits were free, since on Bochs an exit costs nothing but our instructions.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from harness import INITRAMFS, LINUX_ARGS, VMLINUZ  # noqa: E402

HZ = 200_000_000  # timed waits take ticks by the clock rate: compare only at equal rates
GUEST = "build/guests/bench-vmexit.elf"
REAL_MODE = "build/bench/realmode.bin"
# Like VMLINUZ's usual RAM disk, but for process 1: tests/bench/linux/init.asm.
BENCH_INITRAMFS = "build/linux/bench.cpio"

PLAIN = f"{LINUX_ARGS} lpj=200000 tsc=reliable"
ALIKE = (f"{PLAIN} loglevel=0 tsc_early_khz=200000 clearcpuid=erms,rep_good acpi=off pci=off "
         "hpet=disable idle=halt initcall_blacklist=i8042_init")
BARE_ONLY = "nolapic_timer"
BARE_TELLS = "entry_tsc=0x0000000000000000 vitrine.run=true"  # filled in by tools/fastboot
GOAL = 1.05

# Linux 6.1's KVM on Bochs' corei7_skylake_x, mitigations off, in-kernel interrupt controllers and
# PIT, 64-bit guest, loop of 2 instructions included.  What it has to hand to user space was
# measured as that.  Those below the line are of kvm-unit-tests' vmexit on the same machine.
KVM = {
    "cpuid": 981, "vmcall": 1020, "wbinvd": 876, "cr0-cd-twice": 2360,
    "rdmsr-apic-base": 1099, "wrmsr-apic-base": 1279,
    "in-pic": 1269, "out-pic": 2180, "out-unclaimed": 3114, "mmio-read-unclaimed": 5884,
    "ioapic-read": 3859, "lapic-tpr-write": 3597, "lapic-tpr-read": 3688, "lapic-id-read": 3688,
    "lapic-eoi-write": 3593, "lapic-icr-write": 4064, "first-touch-4k": 3399,
    # ---
    "cr0-wp-twice": 3965, "cr4-pge-twice": 33, "cr8-write": 7, "wrmsr-kernel-gs-base": 10,
    "rdmsr-tsc-adjust": 1112, "wrmsr-tsc-adjust": 1665, "self-ipi-sti-nop": 21748,
    "x2apic-self-ipi-sti-nop": 5491, "x2apic-deadline-past": 5114,
}
# Its Linux boot on corei7_haswell_4770 at the same rate, made alike: 480.1 against 423.4 M ticks
# (by PVH, so without the decompression).
KVM_BOOT, KVM_EXITS, KVM_TICKS = 1.134, 7306, 57e6

TRACE_MOST, TRACE_DISPLACED = 30, 3
NO_EXIT = 20  # ticks; below it there was none
# Made alike the bare machine cannot switch itself off.
BARE_SCRIPT = "expect kernel entered at tsc=0x[0-9A-F]{16}\nquit\n"
GUEST_SCRIPT = """\
timeout 200
expect ended: 
send \\r
expect vitrine> 
send regs\\r
expect vitrine> 
send stat\\r
expect vitrine> 
send mem\\r
expect vitrine> 
send poweroff 0\\r
expect end status=0
"""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def run(name, cpu, args, script="", traced=False):
    """The serial output of tools/run."""
    start = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".script") as file:
        file.write(script)
        file.flush()
        line = ["tools/run", "--host", "bochs", "--timeout", "300", "--ips", str(HZ), "--cpu", cpu]
        line += (["--script", file.name] if script else []) + args
        if "--bare" not in args and not traced:  # KVM's figures are without tracing too
            line += ["--boot-module", "tests/bench/trace-off script"]
        done = subprocess.run(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    text = done.stdout.decode(errors="replace").replace("\r", "")
    if done.returncode:
        sys.exit(f"{text}\nbench: {' '.join(line)}: status {done.returncode}")
    say(f"{name}: {time.monotonic() - start:.0f} s")
    return text


def find(pattern, text, kind=int, base=10):
    match = re.search(pattern, text)
    if not match:
        sys.exit(f"{text}\nbench: the output has no {pattern!r}")
    return kind(match.group(1), base) if kind is int else kind(match.group(1))


def boot_bare(name, append):
    append = f"{append} {BARE_ONLY if append == ALIKE else ''} {BARE_TELLS}"
    text = run(name, "haswell", ["--bare", "--mem", "256", "--initrd", INITRAMFS,
                                 "--append", append, VMLINUZ], BARE_SCRIPT)
    return (find(r"first user instruction at tsc=0x(\w+)", text, base=16) -
            find(r"kernel entered at tsc=0x(\w+)", text, base=16))


def boot_guest(name, append):
    """(ticks, output). R8 has the TSC of the first user instruction, R9 that of the end, and the
    log tells how long before the end the guest was entered, to the microsecond."""
    text = run(name, "haswell", ["--hv-append", "on-end=prompt", "--initrd", BENCH_INITRAMFS,
                                 "--append", append, f"{VMLINUZ} mem=256M mode=32"], GUEST_SCRIPT)
    ran = (find(r"\[([\d.]+)\] c0 guest: ended", text, float) -
           find(r"\[([\d.]+)\] c0 guest: running", text, float))
    after = find(r"r9\s+(\w+)", text, base=16) - find(r"r8\s+(\w+)", text, base=16)
    return int(ran * find(r"tsc: (\d+) Hz", text)) - after, text


def section(text, command):
    """What the prompt said to a command."""
    return re.split(r"\n?.*vitrine> ", text.rpartition(f"{command}\n")[2], maxsplit=1)[0]


def report_exits(text):
    """The table of single exits; returns the ticks of each by name."""
    ticks = {name: int(n) for name, n in re.findall(r"(?m)^bench (\S+) (\d+)", text)}
    print("\nOne exit, ticks (corei7_skylake_x; the loop's 2 instructions included)")
    print(f"  {'operation':26}{'Vitrine':>9}{'KVM':>9}{'ratio':>8}")
    for name, n in ticks.items():
        kvm = KVM.get(name)
        columns = f"{kvm:9}{n / kvm:8.2f}" if kvm else ""
        note = " no exit" if n < NO_EXIT and name != "loop" else ""
        if name == "first-touch-4k":
            note = " no exit: guest memory is mapped whole, before the guest starts"
        print(f"  {name:26}{n:9}{columns:17}{note}".rstrip())
    return ticks


def report_real_mode(text):
    print("\nReal mode emulated, ticks per instruction (corei5_lynnfield_750, real-mode=emulate;\n"
          "KVM without unrestricted guest: register 1980, memory 2505)")
    for name, n in re.findall(r"(?m)^bench realmode-(\S+) (\d+)", text):
        print(f"  {name:26}{n:>9}")


def report_trace():
    """What tracing adds to one exit; true when that is too much. A row whose first place in the table
    is another's takes more (vmx/trace.c); which those are, is chance."""
    on, off = ({name: int(n) for name, n in re.findall(r"(?m)^bench (\S+) (\d+)", run(
        "single exits", "skylake", [GUEST], traced=traced))} for traced in (True, False))
    print("\nWhat the trace adds to one exit, ticks (corei7_skylake_x)")
    over = 0
    for name in on:
        if re.search("ipi|deadline", name):  # several exits, and the injection
            continue
        added = (on[name] - off[name]) // (2 if "twice" in name else 1)
        print(f"  {name:26}{added:9}")
        over += added > TRACE_MOST
        if added > 3 * TRACE_MOST:
            return 1
    print(f"  at most {TRACE_MOST}, but for {over}, whose row is displaced")
    return over > TRACE_DISPLACED


def report_boot(boots, outside):
    (bare, (guest, text)), (bare_alike, (guest_alike, _)) = boots["plain"], boots["alike"]
    stat = section(text, "stat")
    count, ticks = (find(rf"all\s+{n}", stat) for n in (r"(\d+)", r"\d+\s+(\d+)"))
    ours = ticks + count * outside
    print(f"\nLinux to its first user instruction, bare -> under Vitrine, million ticks\n"
          f"(corei7_haswell_4770, 256 MiB, {HZ // 10**6} MHz; the rows are explained in run.py)")
    for what, base, value in (("as they come", bare, guest),
                              ("made alike", bare_alike, guest_alike),
                              ("without exits", guest - ours, guest)):
        print(f"  {what:14}{base / 1e6:8.1f} -> {value / 1e6:6.1f}  = {value / base:.3f}")
    print(f"  goal {GOAL}; KVM, made alike, {KVM_BOOT} with {KVM_EXITS} exits, "
          f"{KVM_TICKS / 1e6:.0f} M ticks of its own\n"
          f"  as they come: {count} exits, {ours / 1e6:.2f} M ticks in Vitrine; each "
          f"takes {outside} more than counted here")
    print("\n".join(f"  {line}" for line in stat.strip().splitlines()))
    return section(text, "mem")


def report_footprint(memory):
    print("\nFootprint")
    parts = [(int(size), name)
             for size, name in re.findall(r"(?m)^ *(\d+) KiB in +\d+  (.+)$", memory)]
    others = {"first MiB", "modules", "free", "guest memory", "initrd"}
    own = [(size, name) for size, name in parts if name not in others]
    print(f"  memory of Vitrine's own with one guest booted: {sum(size for size, _ in own)} KiB ("
          + ", ".join(f"{name} {size}" for size, name in sorted(own, reverse=True)) + ")")
    lines = subprocess.run(["tools/size"], stdout=subprocess.PIPE, check=True, text=True).stdout
    print("\n".join(f"  {line}" for line in lines.splitlines()))


def main():
    os.chdir(ROOT)
    if sys.argv[1:] == ["--trace"]:
        return report_trace()
    start = time.monotonic()
    say("six runs of Bochs, about a minute or two")
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        jobs = {name: (pool.submit(boot_bare, f"Linux bare, {name}", append),
                       pool.submit(boot_guest, f"Linux under Vitrine, {name}", append))
                for name, append in (("plain", PLAIN), ("alike", ALIKE))}
        exits = pool.submit(run, "single exits", "skylake", [GUEST])
        real_mode = pool.submit(run, "real mode", "lynnfield",
                                [f"{REAL_MODE} kind=flat mem=4M real-mode=emulate"])
        ticks = report_exits(exits.result())
        report_real_mode(real_mode.result())
        boots = {name: tuple(job.result() for job in pair) for name, pair in jobs.items()}
    # CPUID's whole way less its own part of it, its loop of 4, is what the stubs take.
    mean = find(r"CPUID\s+\d+\s+\d+\s+\S+\s+(\d+)", section(boots["plain"][1][1], "stat"))
    report_footprint(report_boot(boots, ticks["cpuid"] - 4 - mean))
    for path in sorted(glob.glob("build/bench/*")):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            print(f"\n{path}, on this machine's CPU", flush=True)
            subprocess.run([path], check=True)
    say(f"done in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
