# SPDX-License-Identifier: MIT
"""Reads what the prompt's `trace save` wrote (vmx/trace_save.c describes the lines) out of a capture
of the serial console, in which anything else may stand as well; or struct trace (vmx/trace.h) out of a
dump of the machine's memory."""
import re
import struct

from bisect import bisect_right
from dataclasses import dataclass, field

FNV_BASIS, FNV_PRIME = 2166136261, 16777619
STEP, EVENT, LIFE = 0x100, 0x101, 0x102  # enum trace_kind
KINDS = {STEP: "STEP", EVENT: "EVENT", LIFE: "LIFE"}
STEPS = 35  # the slices' number for instructions emulated in steps (EXIT_NONE)
READS, WRITES = (1, 3), (2, 4)  # enum emu_io
SPECIAL, ANY = 0x80, 0xffffffff  # TRACE_SPECIAL, TRACE_ANY
RECORD, ROW = struct.Struct("<QQIBB16s2xQQIHBx"), struct.Struct("<8xQQIHBx16sQQ")
SLICE = struct.Struct("<QQQ66I")
NEEDED = ("tsc", "rip", "ticks", "io", "why", "address", "value", "reason", "code")


class TraceError(Exception):
    """A capture that cannot be read: what is wrong, and where."""


@dataclass
class Exit:
    """An exit counter: all, those that no instruction of the guest's caused, ticks of all, most."""
    name: str
    count: int
    quiet: int
    ticks: int
    most: int


@dataclass
class Row:
    """Exits of one instruction that did one thing to one register for one reason."""
    count: int
    ticks: int
    reason: str   # name of the exit reason, or STEP
    why: str      # why the emulator was needed, or ""
    rip: int
    address: int
    code: bytes
    cause: int    # index into Run.causes
    register: str
    instruction: str
    symbol: str = ""

    @property
    def kind(self):
        """The reason as `stat emu` shows it."""
        return self.why or self.reason

    @property
    def waits(self):
        """Its ticks are the guest's own wait."""
        return self.reason == "HLT"


@dataclass
class Slice:
    """What the counters said at one time."""
    tsc: int
    ticks: int
    halted: int
    count: dict  # by reason's name


@dataclass
class Record:
    """One record of the ring; `row` is the row it was counted in, if that is known."""
    tsc: int
    rip: int
    ticks: int
    reason: str
    why: str
    io: int
    address: int
    value: int
    code: bytes
    text: str     # of LIFE
    row: Row = None

    @property
    def kind(self):
        return self.why or self.reason


@dataclass
class Run:
    """One virtual CPU, as it was when its VM was saved."""
    vm: str
    cpu: int
    now: int
    hz: int
    started: int
    exits: list = field(default_factory=list)
    causes: list = field(default_factory=list)  # (what, why, how to avoid it)
    rows: list = field(default_factory=list)
    slices: list = field(default_factory=list)
    records: list = field(default_factory=list)

    def seconds(self, tsc):
        """Since the VM's start."""
        return (tsc - self.started) / self.hz


class Reader:
    """One section, from its V line to its Z line."""

    def __init__(self):
        self.sum, self.lines, self.run, self.fields = FNV_BASIS, 0, None, None
        self.reasons, self.why, self.texts = dict(KINDS), {0: ""}, {}
        self.last, self.rows = {}, {}
        self.arrays, self.usual, self.match = {}, [], []  # of a dump

    def feed(self, line):
        """Takes a line; returns the Run when it was the last one."""
        body, star, check = line.rpartition("*")
        for byte in (body + star).encode():
            self.sum = (self.sum ^ byte) * FNV_PRIME & 0xffffffff
        check = check if re.fullmatch("[0-9a-f]{4}", check) else "none"
        if check != f"{self.sum >> 16:04x}":
            raise TraceError(f"the line, or one before it, is damaged or missing (checksum "
                             f"{check}, expected {self.sum >> 16:04x})")
        kind, *words = body[1:].split("|")
        if self.run is None and kind != "V":
            raise TraceError(f"the first line is {kind}, expected V")
        handler = getattr(self, f"line_{kind}", None)
        if handler is None:
            raise TraceError(f"unknown line {kind}")
        try:
            done = handler(*words)
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise TraceError(f"line {kind} is not as expected: {error}") from error
        self.lines += 1
        return done

    def line_V(self, version, vm, *numbers):
        if version != "1":
            raise TraceError(f"version {version}, expected 1")
        if self.run is not None:
            raise TraceError("a second V before Z")
        self.run = Run(vm, *(int(n, 16) for n in numbers))
        if self.run.hz == 0:
            raise ValueError("0 Hz")

    def line_E(self, number, name, *numbers):
        self.reasons[int(number, 16)] = name
        self.run.exits.append(Exit(name, *(int(n, 16) for n in numbers)))

    def line_Y(self, number, text):
        self.why[int(number, 16)] = text

    def line_C(self, _, what, why, avoid, *match):
        self.run.causes.append((what, why, avoid))
        self.match.append([int(n, 16) for n in match])

    def line_U(self, *why):
        self.usual = [int(n, 16) for n in why]

    def line_A(self, name, *numbers):
        self.arrays[name] = [int(n, 16) for n in numbers]

    def line_R(self, count, ticks, reason, why, rip, address, code, cause, register, instruction,
               symbol=""):
        row = Row(int(count, 16), int(ticks, 16), self.reason(reason), self.why[int(why, 16)],
                  int(rip, 16), int(address, 16), bytes.fromhex(code), int(cause, 16), register,
                  instruction, symbol)
        _ = self.run.causes[row.cause]
        self.run.rows.append(row)
        self.rows[row.rip, row.reason, row.why, row.address] = row
        self.rows.setdefault((row.rip, row.reason, row.why), row)

    def line_S(self, tsc, ticks, halted, *counts):
        pairs = (word.split(":") for word in counts)
        self.run.slices.append(Slice(int(tsc, 16), int(ticks, 16), int(halted, 16), {
            "STEP" if int(n, 16) == STEPS else self.reason(n): int(count, 16)
            for n, count in pairs}))

    def line_F(self, *fields):
        self.fields = [(name, int(size, 16)) for name, size in (f.split(":") for f in fields)]
        self.last = {name: bytes(size) if size > 8 else 0 for name, size in self.fields}
        missing = [name for name in NEEDED if name not in self.last]
        if missing:
            raise TraceError(f"records have no {', '.join(missing)}")
        if dict(self.fields)["code"] != 16:
            raise TraceError("a record's code is not of 16 bytes")

    def line_N(self, address, text):
        self.texts[int(address, 16)] = text

    def line_L(self, *values):
        if self.fields is None:
            raise TraceError("a record before the line F")
        if len(values) != len(self.fields):
            raise TraceError(f"a record of {len(values)} fields, expected {len(self.fields)}")
        for (name, size), value in zip(self.fields, values):
            if value:
                self.last[name] = bytes.fromhex(value) if size > 8 else int(value, 16)
        f = self.last
        reason, why = self.reason(f"{f['reason']:x}"), self.why[f["why"]]
        key = f["rip"], reason, why
        self.run.records.append(Record(
            f["tsc"], f["rip"], f["ticks"], reason, why, f["io"], f["address"], f["value"],
            f["code"][:f["code"][15] & 15],  # struct emu_code
            self.texts[f["address"]] if reason == "LIFE" else "",
            self.rows.get((*key, f["address"]), self.rows.get(key))))

    def line_Z(self, count):
        if int(count, 16) != self.lines:
            raise TraceError(f"{self.lines} lines, expected {int(count, 16)}")
        return self.run

    def reason(self, number):
        number = int(number, 16)
        return self.reasons.get(number & 0xffff, f"reason {number:#x}")


class Memory(Reader):
    """struct trace, out of a dump of memory."""

    def read(self, data, at):
        """Fill self.run; `at` is where trace.about begins in the data."""
        def array(name, layout):
            distance, count, size = self.arrays[name]
            if at < distance or layout.size > size:
                raise struct.error(f"the array `{name}` is not whole")
            return [layout.unpack_from(data, at - distance + n * size) for n in range(count)]

        run = self.run
        used = array("slices", struct.Struct("<I"))[0][0]
        for tsc, ticks, halted, *counts in array("slice", SLICE)[:used]:
            run.slices.append(Slice(tsc, ticks, halted, {
                "STEP" if n == STEPS else self.reason(f"{n:x}"): count
                for n, count in enumerate(counts) if count}))
        for row in array("row", ROW) + array("lost", ROW):
            if row[6]:
                self.add_row(*row)
        for record in sorted(array("record", RECORD)):
            if record[0]:
                self.add_record(*record)
        for exit_, (quiet,) in zip(run.exits, array("quiet", struct.Struct("<Q"))):
            rows = [row for row in run.rows if row.reason == exit_.name]
            exit_.quiet, exit_.count = quiet, quiet + sum(row.count for row in rows)
            exit_.ticks = sum(row.ticks for row in rows)
        run.exits = [e for e in run.exits if e.count and e.name != self.reasons[STEPS]]
        run.started = run.slices[0].tsc if run.slices else 0
        run.now = max([r.tsc for r in run.records] + [s.tsc for s in run.slices], default=0)
        return run

    def access(self, reason, why, address, qualification):
        """(address, what it is) of the port, MSR or memory, or of nothing."""
        name = self.reasons.get(reason)
        if why:
            kind = {0: None, 1: "memory", 2: "memory", 3: "port", 4: "port"}[qualification & 0xff]
            return (address, f"{kind} {address:#x}") if kind else (0, "")
        if name == "IO":
            return qualification >> 16, f"port {qualification >> 16:#x}"
        if name in ("RDMSR", "WRMSR"):
            return qualification, f"MSR {qualification:#x}"
        return (address if name == "CPUID" or reason >= STEP else 0), ""

    def add_row(self, rip, address, qualification, reason, why, code, count, ticks):
        address, register = self.access(reason, why, address, qualification)
        cause = next(n for n, (exit_, needs, apic) in enumerate(self.match)
                     if exit_ in (ANY, reason) and needs in (ANY, why) and
                     (not apic or address >> 12 == 0xfee00))
        row = Row(count, ticks, self.reason(f"{reason:x}"), self.why[why], rip, address,
                  code[:code[15] & 15], cause, register, f"(bytes {code[:code[15] & 15].hex(' ')})")
        self.run.rows.append(row)
        self.rows[rip, row.reason, row.why, address] = row

    def add_record(self, tsc, rip, ticks, io, _, code, address, value, qualification, reason, why):
        special = reason >= STEP or reason & SPECIAL
        reason = reason if reason >= STEP else reason & ~SPECIAL
        if not special:
            why = self.usual[reason] if reason < len(self.usual) else 0
            io, code = (0, b"") if not why else (io, b"")
        if not why:
            address, what = self.access(reason, 0, address, qualification)
            if what.startswith("port"):
                io = 3 if qualification & 8 else 4
                value &= (1 << 8 * ((qualification & 7) + 1)) - 1
            elif not what and self.reasons.get(reason) != "CPUID" and reason < STEP:
                value = 0
        name, text = self.reason(f"{reason:x}"), ""
        if reason == LIFE:
            text = f"(text at {address:#x})"
        self.run.records.append(Record(tsc, rip, ticks, name, self.why[why], io, address, value, code[:15],
                                       text, self.rows.get((rip, name, self.why[why], address))))


def read_memory(path):
    """The Runs in a dump of memory; none when it is something else."""
    with open(path, "rb") as file:
        data = file.read()
    runs = {}
    for begin in re.finditer(rb"~V\|1\|[^|\0]*\|[0-9a-f]+\|0\|[0-9a-f]+\|0\*[0-9a-f]{4}\n", data):
        reader, at, run = Memory(), begin.start(), None
        try:
            while run is None and (end := data.find(b"\n", at, at + 4096)) >= 0:
                run = reader.feed(data[at:end].decode(errors="replace"))
                at = end + 1
            run = run and reader.read(data, begin.start())
        except (KeyError, IndexError, StopIteration, struct.error) as error:
            raise TraceError(f"{path}: the trace at {begin.start():#x} is damaged: {error!r}") from error
        if run and run.now >= runs.get((run.vm, run.cpu), run).now:  # not one that was freed
            runs[run.vm, run.cpu] = run
    return list(runs.values())


def read_capture(path):
    """The Runs in a file, one for each vCPU: its last, with the records of earlier ones."""
    if runs := read_memory(path):
        return runs
    runs, reader, begun = {}, None, 0
    with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\r\n")
            if not re.match(r"~V\|" if reader is None else r"~[A-Z]\|", line):
                continue
            if reader is None:
                reader, begun = Reader(), number
            try:
                run = reader.feed(line)
            except TraceError as error:
                raise TraceError(f"{path}:{number}: {error}") from error
            if run:
                reader, old = None, runs.get((run.vm, run.cpu))
                if old and run.records:
                    run.records[:0] = [r for r in old.records if r.tsc < run.records[0].tsc]
                runs[run.vm, run.cpu] = run
    if reader is not None:
        raise TraceError(f"{path}:{begun}: the trace that begins here has no end (line Z)")
    if not runs:
        raise TraceError(f"{path}: no trace in it: `trace save` at Vitrine's prompt writes one, "
                         "and a dump of all memory has it")
    return list(runs.values())


def read_symbols(path):
    """A System.map, /proc/kallsyms or output of nm: sorted [(address, name)]."""
    symbols = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            match = re.match(r"([0-9a-fA-F]{1,16}) ([A-Za-z?]) (\S+)", line)
            if not match and not line.strip().startswith("U "):
                raise TraceError(f"{path}:{number}: expected ADDRESS TYPE NAME")
            if match and match.group(2) in "tTwW":
                symbols.append((int(match.group(1), 16), match.group(3)))
    if not symbols or symbols[-1][0] == symbols[0][0] == 0:
        raise TraceError(f"{path}: no addresses of functions in it")
    return sorted(symbols)


def name_rows(runs, symbols):
    """Give the rows the names of their functions."""
    for run in runs:
        for row in run.rows:
            at = bisect_right(symbols, (row.rip, "\x7f")) - 1
            if at >= 0 and row.rip - symbols[at][0] < 1 << 20:
                row.symbol = f"{symbols[at][1]}+{row.rip - symbols[at][0]:#x}"
