# SPDX-License-Identifier: MIT
"""Our own bare-metal guests under Vitrine on every CPU model, and on the bare machine, which says
whether the test or Vitrine is wrong. A guest ends with its number of failures."""
from harness import Boot, guests, ladder

# What differs from the fields below, fewer models for what takes long, and words for tools/run under Vitrine, by the guest's name.
SPECIAL = {"hostile": {"weight": 12}}
MODELS = {"hostile": ["lynnfield", "haswell", "skylake"]}
WORDS = {"force": ["--hv-append", "ud=emulate vmware-ports=on", "--append", "vmware-ports"]}


def both(name):
    path = f"build/guests/{name}.elf"
    fields = {"timeout": 60, "weight": 3, "parts": True, "reject": [r"panic"],
              **SPECIAL.get(name, {})}
    # Little memory: all of it is cleared before a guest starts, at an instruction for 8 bytes.
    words = ["--guest-mem", "96M", path, *WORDS.get(name, [])]
    return [*ladder(f"guest {name}", MODELS.get(name), args=words, **fields),
            Boot(f"bare {name}", args=["--bare", path], **fields)]


# smp needs two CPUs: smp.py
TESTS = [test for name in guests() if name != "smp" for test in both(name)]
