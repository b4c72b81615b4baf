#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write docs/capabilities.md: what `caps` at the prompt says of every CPU model that Bochs emulates."""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from harness import LADDER_OF_TEN, WITHOUT_EPT, WITHOUT_VMX  # noqa: E402

PAGE = os.path.join(ROOT, "docs/capabilities.md")
MARK = {"present": "**yes**", "present, not used": "*yes*", "absent, not needed": "-", "MISSING": "NO"}
HEAD = """\
# What each CPU has of VT-x

Written by `make capabilities`: the command `caps` on each CPU model of Bochs 2.7 (the oldest first). The
test of the ten models compares it with what they say now.

**yes** present and used, *yes* present and not used, - absent and not needed. Where something is used
instead of what is absent, that is in the last column and the model has "instead".

"""


def rows(text):
    """{feature: what caps says of it} in the output of a run."""
    text = text.replace("\r", "")
    return dict(re.findall(r"(?m)^  (\S.*?) \.\.+ (.+?)$", text[text.index("VMCS revision"):]))


def cell(said):
    return "instead" if "used instead" in said else MARK[said]


def run(cpu):
    """The output of Vitrine on that model, without a guest: what it says of VT-x, and caps."""
    with tempfile.TemporaryDirectory(prefix="vitrine-caps-") as folder:
        script = os.path.join(folder, "caps")
        with open(script, "w", encoding="ascii") as file:
            file.write("caps\n")
        line = [os.path.join(ROOT, "tools/run"), "--host", "bochs", "--cpu", cpu, "--timeout", "60",
                "--boot-module", f"{script} script"]
        return subprocess.run(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False,
                              text=True).stdout


def page_rows(page, cpu):
    """{feature: cell} of a model's column in the page."""
    table = [[word.strip() for word in line.strip("|\n").split("|")]
             for line in page.splitlines() if line.startswith("| ")]
    column = table[0].index(cpu)
    return {row[0]: row[column] for row in table[1:]}


def make_page():
    said = {cpu: rows(run(cpu)) for cpu in LADDER_OF_TEN}
    lines = [HEAD, "| feature | " + " | ".join(LADDER_OF_TEN) + " | instead |\n",
             "|---" * (len(LADDER_OF_TEN) + 2) + "|\n"]
    for feature in said[LADDER_OF_TEN[0]]:
        each = [said[cpu][feature] for cpu in LADDER_OF_TEN]
        other = next((text[len("absent (used instead: "):-1] for text in each if "(" in text), "")
        lines.append(f"| {feature} | " + " | ".join(map(cell, each)) + f" | {other} |\n")
    lines.append("\nTwo models cannot run guests:\n\n")
    for cpu in (WITHOUT_EPT, WITHOUT_VMX):
        lines.append(f"- {cpu}: {re.search(r'caps: (.*)', run(cpu)).group(1).strip()}\n")
    return "".join(lines)


def main():
    text = make_page()
    with open(PAGE, "w", encoding="ascii") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
