#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print a compile_commands.json: compdb.py { --cflags 'CC FLAGS...' FILE... }..."""
import json
import os
import shlex
import sys


def main(args):
    entries, flags = [], None
    words = iter(args)
    for word in words:
        if word == "--cflags":
            flags = shlex.split(next(words))
        else:
            entries.append({"directory": os.getcwd(), "file": word,
                            "arguments": flags + ["-c", word]})
    json.dump(entries, sys.stdout, indent=1)


if __name__ == "__main__":
    main(sys.argv[1:])
