#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of tools/trace on captures made up here: what it writes, what it refuses and in what words,
and, where Debian's chromium is installed, that a browser shows its report without complaint."""
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VM = 'a<b>&"c"'  # whatever a name has, it may not become markup
FIELDS = ["tsc:8", "rip:8", "ticks:4", "io:1", "why:1", "address:8", "value:8", "reason:2", "code:10"]
MMIO_CODE = "8937".ljust(30, "0") + "42"
BODY = [
    f"~V|1|{VM}|0|{5000:x}|{1000000:x}|{1000:x}",
    "~E|c|HLT|1|0|3e8|3e8", "~E|1e|IO|3|0|12c|80", "~E|30|EPT_VIOLATION|2|0|190|d0",
    "~E|34|PREEMPTION_TIMER|4|4|28|a", "~Y|1|mmio", "~Y|5|invalid-state",
    "~C|0|local <APIC>|because; so|x2APIC", "~C|1|ports|they are|fewer", "~C|2|HLT|idle|nothing",
    "~R|2|190|30|1|ffffffff81000010|fee000b0|8937|0|lapic EOI|mov [rdi], esi",
    "~R|3|12c|1e|0|ffffffff81000020|21|e421|1|pic-master mask|in al, 0x21",
    "~R|1|3e8|c|0|ffffffff81000030|0|f4|2||hlt",
    "~S|3e8|0|0", "~S|7d0|64|0|1e:1|34:1", "~S|bb8|190|0|1e:3|30:1|34:3",
    "~S|fa0|200|1f4|1e:3|30:2|34:4|c:1",
    "~F|" + "|".join(FIELDS),
    # A field is empty when it is as in the record before.
    "~N|7|starts", "~L|3e8|||||7||102|", "~L|44c|ffffffff81000020|64|3|0|21|fb|1e|",
    "~L|4b0||||||fa||", f"~L|578|ffffffff81000010|c8|2|1|fee000b0|0|30|{MMIO_CODE}",
    "~L|600||0||0|ec||101|", f"~L|640|ffffffff81000030|3e8|0||0||c|{'0' * 32}"]


def sealed(lines, end=True):
    """With checksums, after vmx/trace_save.c's description, and the line Z."""
    value, out = 2166136261, []
    for line in lines + ([f"~Z|{len(lines):x}"] if end else []):
        for byte in (line + "*").encode():
            value = ((value ^ byte) * 16777619) % 2**32
        out.append(f"{line}*{value // 65536:04x}")
    return out


def capture(lines):
    """Among other things, as a terminal sees it."""
    noise = ["vitrine> trace save", "[0.5] c1 uart: ~V|no|", "~ # a shell's prompt"]
    return "\r\n".join(noise + lines[:5] + ["[1.0] c1 a line of another CPU"] + lines[5:] +
                       ["vitrine> "]) + "\r\n"


class Tool:
    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, text, *args):
        with open(self.path("capture"), "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return subprocess.run([f"{ROOT}/tools/trace", self.path("capture"), *args],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)

    def good(self, *args, text=None):
        done = self.run(text or capture(sealed(BODY)), *args)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout

    def refused(self, lines, pattern):
        done = self.run(capture(lines) if isinstance(lines, list) else lines, "--html", "-")
        assert done.returncode == 1, f"status {done.returncode}"
        assert re.search(pattern, done.stderr), f"no {pattern!r} in {done.stderr!r}"
        assert "Traceback" not in done.stderr and not done.stdout


def test_text(tool):
    text = tool.good()
    for line in ("IO                                    3 exits            300 ticks      100 each",
                 f"[0.000000] LIFE               {VM} starts",
                 "[0.000100] IO                 ffffffff81000020 in al, 0x21; pic-master mask -> 0xfb; "
                 "100 ticks",
                 "[0.000200] IO                 ffffffff81000020 in al, 0x21; pic-master mask -> 0xfa",
                 "[0.000400] mmio               ffffffff81000010 mov [rdi], esi; lapic EOI <- 0; "
                 "200 ticks",
                 "[0.000536] EVENT              ffffffff81000010 vector 236, type 0"):
        assert line in text, f"no {line!r} in\n{text}"


def test_json(tool):
    events = json.loads(tool.good("--json", "-"))["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    assert [(e["name"], e["ts"], e["dur"]) for e in spans] == [
        ("pic-master mask", 100, 100), ("pic-master mask", 200, 100), ("lapic EOI", 400, 200),
        ("HLT", 600, 1000)], spans
    assert spans[2]["args"]["what"] == "mov [rdi], esi; lapic EOI <- 0"
    assert [e["args"]["name"] for e in events if e["ph"] == "M"] == [VM, "vCPU 0"]
    rates = [e["args"] for e in events if e["ph"] == "C"]
    assert rates[1] == {"IO": 2000, "EPT_VIOLATION": 1000, "PREEMPTION_TIMER": 2000}, rates


def test_folded(tool):
    with open(tool.path("map"), "w", encoding="utf-8") as file:
        file.write("ffffffff81000000 T apic_write\nffffffff81000020 t read_mask\n"
                   "ffffffff81000028 D data\n                 U wanted\n")
    assert tool.good("--folded", "-", "--symbols", tool.path("map")).splitlines() == [
        f"{VM};vCPU 0;EPT_VIOLATION;mmio;lapic EOI;apic_write+0x10 mov [rdi], esi 400",
        f"{VM};vCPU 0;IO;pic-master mask;read_mask+0x0 in al, 0x21 300"]


class Page(html.parser.HTMLParser):
    """Balanced, and with nothing from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text = [], [], []
        self.feed(text)
        assert not self.open, f"{self.open} are left open"

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        for name, value in attrs:
            assert name not in ("src", "onload", "onclick", "xlink:href"), f"{tag} has {name}"
            assert name != "href" or value == "data:,", f"{tag} refers to {value}"
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        self.text.append(data)


def test_html(tool):
    page = Page(tool.good("--html", "-"))
    assert page.seen.count("svg") == 5, page.seen.count("svg")
    assert not {"script", "img", "iframe", "b>", "apic"} & set(page.seen)
    text = " ".join(page.text)
    for words in (f"{VM}: what it needed", "local <APIC>", "10 exits counted; 6 told by the table of "
                  "instructions and 4 by events or time: nothing is untold"):
        assert words in text, f"no {words!r}"


def test_html_of_little(tool):
    """A vCPU that never ran, or was traced for a moment."""
    for lines in (BODY[:1], BODY[:13], BODY[:15], BODY[:1] + BODY[13:18]):
        Page(tool.good("--html", "-", text=capture(sealed(lines))))


def test_several(tool):
    """Two saves of one vCPU and one of another: records join, counters are the last ones."""
    later = [line.replace("~E|1e|IO|3|", "~E|1e|IO|9|") for line in BODY[:18]] + \
        ["~L|578|ffffffff81000020|63|3|0|21|f0|1e|"]
    other = [BODY[0].replace("|0|", "|1|", 1)] + BODY[1:]
    text = tool.good(text="".join(capture(sealed(x)) for x in (BODY, other, later)))
    first, second = text.split("vCPU 1")
    assert "IO                                    9 exits" in first and "-> 0xf0; 99" in first
    assert first.count("\n[") == 4 and second.count("\n[") == 6, text


def test_refusals(tool):
    good = sealed(BODY)
    tool.refused("hello\n", r"capture: no trace in it: `trace save`")
    tool.refused(good[:-1], r"capture:4: the trace that begins here has no end")
    flipped = good[:10] + [good[10].replace("lapic", "lapid")] + good[11:]
    tool.refused(flipped, r"capture:15: the line, or one before it, is damaged or missing \(checksum "
                          r"[0-9a-f]{4}, expected [0-9a-f]{4}\)")
    tool.refused(good[:10] + good[11:], r"capture:15: .*damaged or missing")
    tool.refused(good[:10] + good[11:12] + good[10:11] + good[12:], r"capture:15: .*damaged")
    tool.refused(good[:12] + [good[12][:20]] + good[13:], r"capture:17: .*checksum none")
    for lines, pattern in (
            (["~V|2|x|0|0|1|0"], r"capture:4: version 2, expected 1"),
            (["~V|1|x|0|0|0|0"], r"capture:4: line V is not as expected: 0 Hz"),
            (BODY[:1] * 2, r"capture:5: a second V"),
            (BODY[:1] + ["~Q|1"], r"capture:5: unknown line Q"),
            (BODY[:1] + ["~E|zz|IO|1|1|1|1"], r"capture:5: line E is not as expected: .*'zz'"),
            (BODY[:1] + ["~E|1e|IO|1"], r"capture:5: line E is not as expected: .*argument"),
            (BODY[:1] + BODY[10:11], r"capture:5: line R is not as expected"),
            (BODY[:1] + BODY[18:20], r"a record before the line F"),
            (BODY[:1] + ["~F|tsc:8|rip:8"], r"records have no ticks, io, why"),
            (BODY[:18] + ["~L|1|2"], r"a record of 2 fields, expected 9"),
            (BODY[:18] + BODY[19:], r"capture:23: line L is not as expected")):
        tool.refused(sealed(lines), pattern)
    tool.refused(sealed(BODY + ["~Z|1"], end=False), rf"1 lines|{len(BODY)} lines, expected 1")
    done = tool.run(capture(good), "--symbols", "/dev/null")
    assert done.returncode == 1 and "no addresses of functions" in done.stderr
    done = tool.run(capture(good), "--html", "/nonexistent/x")
    assert done.returncode == 1 and "/nonexistent/x" in done.stderr


def test_fuzzed(tool):
    """Whatever is cut or changed: a report or a refusal, never anything else."""
    sys.path.insert(0, f"{ROOT}/tools")
    import tracefile  # pylint: disable=import-outside-toplevel
    text, seed, refused = capture(sealed(BODY)), 1, 0
    for _ in range(400):
        seed = zlib.crc32(seed.to_bytes(4, "little"))
        at, kind = seed % len(text), seed >> 28
        changed = text[:at] + ("" if kind & 1 else chr(33 + seed % 90)) + text[at + 1 + kind // 4:]
        with open(tool.path("capture"), "w", encoding="utf-8", newline="") as file:
            file.write(changed)
        try:
            tracefile.read_capture(tool.path("capture"))
        except tracefile.TraceError:
            refused += 1
    assert refused > 200, refused


def test_browser(tool):
    chromium = shutil.which("chromium")
    if not chromium:
        return "there is no chromium"
    tool.good("--html", tool.path("page.html"))
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tool.path('profile')}", "--window-size=1120,3000",
         f"--screenshot={tool.path('page.png')}", f"file://{tool.path('page.html')}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100, check=False)
    assert "CONSOLE" not in done.stdout, done.stdout
    size = os.path.getsize(tool.path("page.png"))
    assert size > 40_000, f"a screenshot of {size} bytes: nothing to see"
    return None


def main():
    failed = False
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        with tempfile.TemporaryDirectory(prefix="vitrine-trace-") as folder:
            try:
                skipped = test(Tool(folder))
                print(f"ok {name[5:]}" + (f" # skip {skipped}" if skipped else ""), flush=True)
            except AssertionError as error:
                failed = True
                print(f"not ok {name[5:]}\n{error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
