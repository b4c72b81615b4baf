# SPDX-License-Identifier: MIT
"""The screen and keyboard of a QEMU machine as a terminal: what Vitrine's text there says (VGA text, or
our font on a frame buffer) comes out of a socket, and what is written to it is typed."""
import os
import re
import socket
import struct
import threading
import time
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WIDTH, HEIGHT, ROWS, MIN_COLUMNS = 6, 10, 8, 85  # drivers/host/framebuffer.h
VGA_TEXT = (720, 400)
KEYS = {"\r": "ret", " ": "spc", "-": "minus", "=": "equal", ".": "dot", "/": "slash", ",": "comma",
        "\x7f": "backspace", "\t": "tab", "\x1d": "ctrl-bracket_right", "_": "shift-minus"}


def read_font():
    with open(os.path.join(ROOT, "drivers/host/font.c"), encoding="ascii") as file:
        glyphs = [int(word, 16) for word in re.findall(r"0x[0-9a-f]{16}", file.read())]
    return {glyph: chr(32 + n) if n < 95 else "\N{REPLACEMENT CHARACTER}"
            for n, glyph in enumerate(glyphs)}


def read_ppm(path):
    with open(path, "rb") as file:
        _, size, _, pixels = file.read().split(b"\n", 3)
    width, height = map(int, size.split())
    return width, height, pixels


def write_png(path, ppm):
    width, height, pixels = read_ppm(ppm)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines = b"".join(b"\0" + bytes(255 * (p > 64) for p in pixels[y * width * 3:(y + 1) * width * 3:3])
                     for y in range(height))
    with open(path, "wb") as file:  # shades of grey
        file.write(b"\x89PNG\r\n\x1a\n" +
                   chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


def join_rows(rows, columns):
    """Text of a screen; rows that are full to the edge go on in the next."""
    return "".join(row if len(row.rstrip()) == columns else row.rstrip() + "\n"
                   for row in rows).rstrip("\n") + "\n"


def read_framebuffer(path, font):
    """The text, or None when it is not Vitrine's font that is seen there."""
    width, height, pixels = read_ppm(path)
    scale = max(1, width // (WIDTH * MIN_COLUMNS))
    columns, unknown, rows = width // (WIDTH * scale), 0, []
    for top in range(0, height // (HEIGHT * scale) * HEIGHT * scale, HEIGHT * scale):
        glyphs = [0] * columns
        for y in range(ROWS):
            at = (top + y * scale) * width * 3
            lit = [p > 64 for p in pixels[at:at + columns * WIDTH * scale * 3:3 * scale]]
            for c in range(columns):
                bits = sum(lit[c * WIDTH + x] << (4 - x) for x in range(5))
                glyphs[c] = glyphs[c] << 8 | bits
        rows.append("".join(font.get(glyph, "\0") for glyph in glyphs))
        unknown += rows[-1].count("\0")
    return None if unknown > 4 else join_rows(rows, columns)


class ScreenTerminal(threading.Thread):
    """Runs until the monitor's socket closes; .socket is the terminal."""

    def __init__(self, monitor, folder):
        super().__init__(daemon=True)
        self.socket, self.ours = socket.socketpair()
        self.socket.setblocking(False)
        self.ours.setblocking(False)
        self.ppm = os.path.join(folder, "screen.ppm")
        self.font, self.last = read_font(), None
        self.monitor = socket.socket(socket.AF_UNIX)
        while True:  # QEMU makes it after it has connected the serial port
            try:
                self.monitor.connect(monitor)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.1)
        self.answer()
        self.start()

    def answer(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            data = self.monitor.recv(65536)
            if not data:
                raise ConnectionError
            text += data
        return text.decode(errors="replace")

    def command(self, text):
        self.monitor.sendall(text.encode() + b"\n")
        return self.answer()

    def look(self):
        self.command(f"screendump {self.ppm}")
        if read_ppm(self.ppm)[:2] != VGA_TEXT:
            return read_framebuffer(self.ppm, self.font)
        dump = re.findall(r"(?m)^[0-9a-f]+:((?: 0x[0-9a-f]{4})+)", self.command("xp /2000xh 0xb8000"))
        text = "".join(chr(max(32, int(word, 16) & 0x7f)) for line in dump for word in line.split())
        return join_rows([text[at:at + 80] for at in range(0, 2000, 80)], 80)

    def type(self):
        try:
            data = self.ours.recv(4096)
        except BlockingIOError:
            return
        for c in data.decode():
            self.command("sendkey " + KEYS.get(c, f"shift-{c.lower()}" if c.isupper() else c))

    def run(self):
        try:
            while True:
                text = self.look()
                if text and text != self.last:
                    self.last = text
                    self.ours.sendall(("\n--- screen ---\n" + text).encode())
                self.type()
                time.sleep(0.3)
        except OSError:
            self.ours.close()
