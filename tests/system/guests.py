# SPDX-License-Identifier: MIT
"""Our own bare-metal guests, each on every CPU model. One that ends with status 0 has passed."""
import os

from harness import ladder, guests

# What differs from ladder()'s defaults, by the guest's name.
SPECIAL = {}

TESTS = [
    test for path in guests()
    for test in ladder(f"guest {os.path.basename(path)[:-4]}", weight=3,
                       **{"args": [path], "timeout": 60, "reject": [r"panic"],
                          **SPECIAL.get(os.path.basename(path)[:-4], {})})
]
