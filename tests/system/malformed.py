# SPDX-License-Identifier: MIT
"""Images and configurations that cannot be meant: each is refused with what, where and what to do,
and the prompt lives on. One boot each, so that no refusal hides behind another."""
import struct

from harness import Boot, ROOT, VMLINUZ

MULTIBOOT = 0x1BADB002
CODE = b"\x31\xc0\xe6\xf4\xfa\xf4"  # xor eax, eax; out 0xf4, al; cli; hlt: where it runs, it ends at once


def header(flags=0, magic=MULTIBOOT, wrong=0, fields=b""):
    return struct.pack("<III", magic, flags, (-(magic + flags) + wrong) & 0xFFFFFFFF) + fields


def elf(*segments, entry=0x100010, machine=3, phoff=52, head=None, kind=2):
    """An ELF32 file; a segment is (address, bytes in file, bytes in memory[, offset])."""
    head = header() if head is None else head
    body = head.ljust(16, b"\0") + CODE
    segments = segments or ((0x100000, len(body), len(body)),)
    start = 52 + 32 * len(segments)
    out = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", kind, machine, 1, entry, phoff, 0, 0, 52, 32, len(segments), 0, 0, 0)
    for address, filesz, memsz, *offset in segments:
        out += struct.pack("<8I", 1, offset[0] if offset else start, address, address, filesz,
                           memsz, 7, 4096)
    return out + body


def flat_header(header_addr, load, load_end, bss_end, entry):
    return header(0x10000, fields=struct.pack("<5I", header_addr, load, load_end, bss_end, entry))


def kernel(cut=None, **patches):
    """Debian's kernel, cut short or with bytes replaced: patches are a0xOFFSET=bytes."""
    with open(f"{ROOT}/{VMLINUZ}", "rb") as file:
        image = bytearray(file.read(cut))
    for where, data in patches.items():
        offset = int(where[1:], 16)
        image[offset:offset + len(data)] = data
    return bytes(image)


def linux_cases():
    try:
        kernel()
    except OSError:
        return []
    return [
        ("kernel cut in its setup header", kernel(cut=0x210), "", r"setup header: truncated"),
        ("kernel cut in its body", kernel(cut=1 << 20), "", r"truncated"),
        ("kernel without HdrS", kernel(a0x202=b"XXXX"), "", r"EFI program"),
        ("kernel of protocol 2.00", kernel(a0x206=b"\0\2"), "", r"protocol 2\.00"),
        ("kernel with no setup end", kernel(a0x1f1=b"\xff", cut=40000), "", r"truncated"),
        ("kernel with 4 MiB", kernel(), "mem=4M", r"mem=|memory"),
        ("kernel with a 1-TiB init_size", kernel(a0x260=b"\xff\xff\xff\xff"), "",
         r"mem=|memory|init_size"),
        ("kernel with an initrd larger than memory", kernel(), "mem=80M", r"initrd|RAM disk",
         ["--initrd", "{tmp}/big"]),
    ]


# Name, image, words, what the refusal must say, further arguments.
CASES = [
    ("empty file", b"", "", r"left out"),
    ("text file", b"hello world\n" * 100, "", r"no Multiboot"),
    ("gzip", b"\x1f\x8b\x08" + bytes(4000), "", r"gzip|compressed"),
    ("ELF without a Multiboot header", elf(head=b"\0" * 12), "", r"ELF file without a Multiboot"),
    ("wrong Multiboot checksum", elf(head=header(wrong=1)), "", r"without a Multiboot"),
    ("wrong Multiboot magic", elf(head=header(magic=MULTIBOOT + 1)), "", r"without a Multiboot"),
    ("unknown required Multiboot flag", elf(head=header(flags=0x20)), "", r"flag"),
    ("segment past the end of the file", elf((0x100000, 0x10000, 0x10000)), "", r"truncated|past|end"),
    ("segment at the end of 64 bits", elf((0x100000, 20, 20, 0xFFFFFFF0)), "", r"past|end|truncated"),
    ("segments overlap", elf((0x100000, 20, 0x3000), (0x101000, 20, 20)), "", r"overlap"),
    ("segment beyond memory", elf((0xF0000000, 20, 20), entry=0xF0000010), "",
     r"memory|mem="),
    ("segment of 4 GiB", elf((0x100000, 20, 0xFFFFFFFF)), "", r"below 4 GiB"),
    ("more in file than in memory", elf((0x100000, 20, 4)), "", r"filesz|file|memory"),
    ("entry in no segment", elf(entry=0x900000), "", r"entry"),
    ("ELF for ARM", elf(machine=40), "", r"machine|x86|i386"),
    ("program headers outside the file", elf(phoff=0x7FFFFFF0), "", r"program header|truncated|end"),
    ("load end before load address", flat_header(0x100000, 0x100000, 0xF0000, 0, 0x100020), "",
     r"load_end|load|address"),
    ("header before load address", flat_header(0x100000, 0x200000, 0, 0, 0x200020), "",
     r"header|load|address"),
    ("mem=12Q", elf(), "mem=12Q", r"12Q"),
    ("mem=0", elf(), "mem=0", r"mem="),
    ("mem=9000G", elf(), "mem=9000G", r"9000G"),
    ("more memory than the machine has", elf(), "mem=64G", r"memory|mem="),
    ("vcpus=99", elf(), "vcpus=99", r"vcpus"),
    ("unknown option", elf(), "colour=red", r"colour"),
    ("option given twice", elf(), "mem=16M mem=32M", r"mem"),
    ("unknown kind", elf(), "kind=elephant", r"elephant"),
    ("name too long", elf(), "guest=" + "x" * 40, r"guest|name"),
    ("quote not closed", elf(), 'kind="auto', r"quote"),
    ("initrd for nobody", elf(), "", r"nobody", ["--boot-module", "{tmp}/image initrd=nobody"]),
    ("two guests of one name", elf(), "guest=a", r"\ba\b",
     ["--boot-module", "{tmp}/image guest=a"]),
    ("flat image beyond memory", CODE, "kind=flat mode=32 load=0x80000000",
     r"memory|mem=|load="),
    ("flat image with its entry elsewhere", CODE, "kind=flat load=0x7c00 entry=0x9000",
     r"entry"),
    ("wrong option of the hypervisor", elf(), "", r"log=loud|loud", ["--hv-append",
                                                                      "log=loud on-end=prompt"]),
] + linux_cases()

TESTS = [
    Boot(f"malformed: {name}", files={"image": image, "big": bytes(64 << 20)} if "big" in str(more)
         else {"image": image},
         args=[f"{{tmp}}/image {words}".strip(),
               *([] if more and "--hv-append" in more[0] else ["--hv-append", "on-end=prompt"]),
               *(["--guest-mem", "16M"] if "mem=" not in words and name[:6] != "kernel" else []),
               *(more[0] if more else [])],
         script=f"timeout 20\nexpect (not started:|config:|impossible range|no \\d+ MiB)[^\\n]*({pattern})\n"
                "expect vitrine> \nsend echo alive $((1\\r\nexpect \\nalive\nsend poweroff 0\\r\n"
                "expect end status=0\n",
         reject=[r"panic"], timeout=40, weight=2)
    for name, image, words, pattern, *more in CASES
]
