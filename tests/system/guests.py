# SPDX-License-Identifier: MIT
"""Our own bare-metal guests under Vitrine on every CPU model, and on the bare machine, which says
whether the test or Vitrine is wrong. A guest ends with its number of failures."""
from harness import Boot, guests, ladder

# What differs from the fields below, and words for tools/run under Vitrine, by the guest's name.
SPECIAL = {}
WORDS = {"force": ["--hv-append", "ud=emulate vmware-ports=on", "--append", "vmware-ports"]}


def both(name):
    path = f"build/guests/{name}.elf"
    fields = {"timeout": 60, "weight": 3, "parts": True, "reject": [r"panic"],
              **SPECIAL.get(name, {})}
    return [*ladder(f"guest {name}", args=[path, *WORDS.get(name, [])], **fields),
            Boot(f"bare {name}", args=["--bare", path], **fields)]


# smp needs two CPUs: smp.py
TESTS = [test for name in guests() if name != "smp" for test in both(name)]
