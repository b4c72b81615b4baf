# SPDX-License-Identifier: MIT
"""The HTML report of tools/trace: one file, pictures as SVG inside, nothing from elsewhere."""
import html
import math

# Told apart by people who see few colours as well (after Okabe and Ito); the last is for the rest.
COLOURS = ["#2f6db5", "#e08a1e", "#1f9e89", "#c4527f", "#7a6ccf", "#a8892c", "#4fa3d1", "#a9b2bf"]
REST = "other"
GUEST, VITRINE, IDLE = "#bfd4ee", "#2f6db5", "#eef1f5"
WIDTH = 1000  # of a picture, in its own units

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f6f7f9; color: #1c2430;
       font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 0 0 2px; }
h3 { font-size: 14px; margin: 14px 0 0; }
p { margin: 0 0 12px; color: #5a6575; max-width: 75ch; }
section { background: #fff; border: 1px solid #e3e7ed; border-radius: 8px; padding: 18px 22px;
          margin-top: 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
         margin-top: 18px; }
.tile { background: #fff; border: 1px solid #e3e7ed; border-radius: 8px; padding: 12px 16px; }
.tile b { display: block; font-size: 23px; font-variant-numeric: tabular-nums; line-height: 1.3; }
.tile span { color: #5a6575; font-size: 13px; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #5a6575; }
svg .line { stroke: #e3e7ed; stroke-width: 1; shape-rendering: crispEdges; }
svg .base { stroke: #97a1b0; stroke-width: 1; shape-rendering: crispEdges; }
svg .mark { stroke: #1c2430; stroke-dasharray: 3 3; }
svg .hit { fill: transparent; } svg .hit:hover { fill: #1c24300f; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0 10px; font-size: 13px;
          color: #3d4756; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px;
            margin-right: 6px; vertical-align: -1px; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; font-weight: 600; color: #5a6575; border-bottom: 1px solid #cfd5de;
     padding: 4px 10px 4px 0; white-space: nowrap; }
td { border-bottom: 1px solid #eef1f5; padding: 5px 10px 5px 0; vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
code { font: 12.5px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.rip { white-space: nowrap; }
td small { display: block; color: #5a6575; }
.bar { min-width: 130px; } .bar i { display: block; height: 13px; border-radius: 2px; margin-top: 4px; }
details summary { cursor: pointer; color: #2f6db5; }
footer { color: #7a8494; font-size: 13px; margin-top: 22px; }
"""


def esc(text):
    return html.escape(str(text))


def number(n):
    """With thin spaces between thousands."""
    return f"{n:,}".replace(",", "\u2009")


def share(part, whole):
    percent = 100 * part / whole if whole else 0
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %" if percent >= 0.1 or \
        not percent else "< 0.1 %"


def duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1 or unit == "µs":
            return f"{seconds * scale:.3g} {unit}"
    return ""


def ticks_of_axis(low, high, count):
    """Round numbers (1, 2 or 5 times a power of ten) from low to high, about `count` of them."""
    span = (high - low) / count or 1
    step = 10 ** math.floor(math.log10(span))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= span * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def label(value):
    for unit, scale in (("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:g} {unit}"
    return f"{value:g}"


class Picture:
    """An SVG with a plot area and its axes; x and y take values of the data."""

    def __init__(self, height, x, y=(0, 1), left=64, bottom=42, right=8, top=14):
        self.height, self.parts = height, []
        self.x0, self.x1, self.y0, self.y1 = left, WIDTH - right, height - bottom, top
        self.xs, self.ys, self.log = x, y, False

    def x(self, value):
        low, high = self.xs
        if self.log:
            value, low, high = (math.log2(v) for v in (value, low, high))
        return self.x0 + (value - low) / ((high - low) or 1) * (self.x1 - self.x0)

    def y(self, value):
        low, high = self.ys
        return self.y0 + (value - low) / ((high - low) or 1) * (self.y1 - self.y0)

    def add(self, text):
        self.parts.append(text)

    def text(self, x, y, text, anchor="start"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{esc(text)}</text>')

    def line(self, x0, y0, x1, y1, kind="line"):
        self.add(f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>')

    def rect(self, x0, y0, x1, y1, colour=None, title=None):
        paint = f'fill="{colour}"' if colour else 'class="hit"'
        inside = f"><title>{esc(title)}</title></rect>" if title else "/>"
        self.add(f'<rect {paint} x="{x0:.2f}" y="{min(y0, y1):.2f}" width="{max(x1 - x0, 0):.2f}" '
                 f'height="{abs(y1 - y0):.2f}"{inside}')

    def area(self, edges, low, high, colour):
        """Steps between edges[i] and edges[i + 1], from low[i] to high[i]."""
        over = " ".join(f"L{self.x(a):.2f} {self.y(h):.2f} L{self.x(b):.2f} {self.y(h):.2f}"
                        for a, b, h in zip(edges, edges[1:], high))
        under = " ".join(f"L{self.x(b):.2f} {self.y(v):.2f} L{self.x(a):.2f} {self.y(v):.2f}"
                         for a, b, v in list(zip(edges, edges[1:], low))[::-1])
        self.add(f'<path fill="{colour}" d="M{over[1:]} {under} Z"/>')

    def axes(self, xlabel, ylabel="", xticks=None, yticks=None, xformat=label, yformat=label):
        for value in ticks_of_axis(*self.ys, 6) if yticks is None else yticks:
            self.line(self.x0, self.y(value), self.x1, self.y(value))
            self.text(self.x0 - 8, self.y(value) + 4, yformat(value), "end")
        for value in ticks_of_axis(*self.xs, 10) if xticks is None else xticks:
            self.line(self.x(value), self.y0, self.x(value), self.y0 + 5, "base")
            self.text(self.x(value), self.y0 + 18, xformat(value), "middle")
        self.text((self.x0 + self.x1) / 2, self.height - 6, xlabel, "middle")
        if ylabel:
            self.text(0, self.y1 - 4, ylabel)

    def svg(self, name):
        self.line(self.x0, self.y0, self.x1, self.y0, "base")
        return (f'<svg viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{esc(name)}">'
                f'{"".join(self.parts)}</svg>')


class Palette:
    """A colour for each name, the same all over the report; names of little weight share one."""

    def __init__(self, weights):
        ranked = sorted((n for n in weights if weights[n]), key=lambda n: -weights[n])
        self.names = ranked[:len(COLOURS) - 1]

    def name(self, name):
        return name if name in self.names else REST

    def colour(self, name):
        return COLOURS[self.names.index(name) if name in self.names else -1]

    def all(self, names):
        """Those of the names, and what the others are shown as."""
        shown = {self.name(n) for n in names}
        return [n for n in self.names + [REST] if n in shown]


def legend(entries):
    return '<div class="legend">' + "".join(
        f'<span><i style="background:{colour}"></i>{esc(name)}</span>'
        for name, colour in entries) + "</div>"


def section(title, text, *parts):
    return f"<section><h2>{esc(title)}</h2><p>{esc(text)}</p>{''.join(parts)}</section>"


def table(head, rows):
    """Cells are HTML; a heading that begins with '#' is of a column of numbers."""
    kinds = [' class="n"' if h.startswith("#") else "" for h in head]
    lines = ["<tr>" + "".join(f"<th{k}>{esc(h.lstrip('#'))}</th>" for h, k in zip(head, kinds))
             + "</tr>"]
    lines += ["<tr>" + "".join(f"<td{k}>{c}</td>" for c, k in zip(row, kinds)) + "</tr>"
              for row in rows]
    return f"<table>{''.join(lines)}</table>"


def bar(part, most, colour, text=""):
    return (f'<div class="bar" title="{esc(text)}"><i style="width:{100 * part / (most or 1):.1f}%;'
            f'background:{colour}"></i></div>')


def steps(run):
    """[(begin, end, {reason: exits}, ticks, halted)] of the slices, times in seconds."""
    out = []
    for a, b in zip(run.slices, run.slices[1:]):
        counts = {n: (c - a.count.get(n, 0)) % 2**32 for n, c in b.count.items()}
        out.append((max(run.seconds(a.tsc), 0), run.seconds(b.tsc), counts, b.ticks - a.ticks,
                    b.halted - a.halted))
    # Before the guest began there was nothing.
    while out and out[0][1] <= 0 or out and not any(out[0][2].values()) and not out[0][4]:
        del out[0]
    return out


def over_time(run, palette):
    slices = steps(run)
    if len(slices) < 2:
        return section("Exits over time", "The run was too short to tell: nothing was sampled.")
    edges = [s[0] for s in slices] + [slices[-1][1]]
    names = palette.all(name for s in slices for name, n in s[2].items() if n)
    rates = [{name: sum(n for r, n in counts.items() if palette.name(r) == name) / (end - begin)
              for name in names} for begin, end, counts, _, _ in slices]
    most = max(sum(r.values()) for r in rates)
    picture = Picture(300, (edges[0], edges[-1]), (0, most * 1.05 or 1))
    picture.axes("seconds since the start of the guest", "exits per second")
    low = [0.0] * len(slices)
    for name in names:
        high = [v + r[name] for v, r in zip(low, rates)]
        picture.area(edges, low, high, palette.colour(name))
        low = high
    for (begin, end, counts, ticks, _), rate in zip(slices, rates):
        told = ", ".join(f"{r} {n}" for r, n in sorted(counts.items(), key=lambda x: -x[1]) if n)
        picture.rect(picture.x(begin), picture.y0, picture.x(end), picture.y1, title=
                     f"{begin:.3f} to {end:.3f} s: {sum(rate.values()):.0f} exits/s\n{told or 'none'}"
                     f"\n{number(ticks)} ticks in Vitrine")
    shares = Picture(96, (edges[0], edges[-1]), bottom=28)
    shares.axes("", yticks=[0, 1], yformat=lambda v: f"{v:.0%}")
    ours = [t / run.hz / (e - b) for b, e, _, t, _ in slices]
    idle = [min(1 - o, h / run.hz / (e - b)) for o, (b, e, _, _, h) in zip(ours, slices)]
    zero, top = [0] * len(slices), [1 - i for i in idle]
    shares.area(edges, ours, top, GUEST)
    shares.area(edges, top, [1] * len(slices), IDLE)
    shares.area(edges, zero, ours, VITRINE)
    for (begin, end, *_), o, i in zip(slices, ours, idle):
        shares.rect(shares.x(begin), shares.y0, shares.x(end), shares.y1, title=
                    f"{begin:.3f} to {end:.3f} s: Vitrine {share(o, 1)}, idle {share(i, 1)}, "
                    f"guest {share(1 - o - i, 1)}")
    return section(
        "Exits over time", f"Counters sampled every {duration((edges[-1] - edges[0]) / len(slices))}"
        " on the average. An idle guest (HLT) leaves the CPU to others.",
        legend((n, palette.colour(n)) for n in names), picture.svg("exits over time"),
        "<h3>Where the time went</h3>",
        legend([("Vitrine", VITRINE), ("the guest", GUEST), ("idle (HLT)", IDLE)]), shares.svg("share of time"))


def by_cause(run, cost):
    sums = {}
    for row in run.rows:
        count, ticks = sums.get(row.cause, (0, 0))
        sums[row.cause] = count + row.count, ticks + (0 if row.waits else row.ticks)
    order = sorted(sums, key=lambda c: -sums[c][1])
    most = max((t for _, t in sums.values()), default=0)
    rows = []
    for c in order:
        (what, why, avoid), (count, ticks) = run.causes[c], sums[c]
        rows.append((f"<b>{esc(what)}</b><small>{esc(why)}</small>", number(count),
                     number(ticks // count) if ticks else "–", share(ticks, cost),
                     bar(ticks, most, VITRINE, f"{number(ticks)} ticks"), esc(avoid)))
    return section("When did it have to emulate, and why?",
                   "Instructions that needed Vitrine, by cause; waits in HLT cost nobody anything.",
                   table(["cause", "#instructions", "#ticks each", "#cost", "", "what would avoid it"],
                         rows))


def by_reason(rows, palette):
    sums, colours = {}, {}
    for row in rows:
        count, ticks = sums.get(row.kind, (0, 0))
        sums[row.kind] = count + row.count, ticks + (0 if row.waits else row.ticks)
        colours[row.kind] = palette.colour(row.reason)
    order = sorted(sums, key=lambda k: -sums[k][0])[:14]
    height = 26 * len(order) + 56
    counts = Picture(height, (0, max(c for c, _ in sums.values()) * 1.15), (len(order), 0), left=150,
                     right=WIDTH - 560, top=24)
    costs = Picture(height, (0, max(max(t for _, t in sums.values()) * 1.15, 1)), (len(order), 0),
                    left=600, top=24)
    for picture, what, title in ((counts, 0, "instructions"), (costs, 1, "ticks")):
        for value in ticks_of_axis(*picture.xs, 5):
            picture.line(picture.x(value), picture.y0, picture.x(value), picture.y1)
            picture.text(picture.x(value), picture.y0 + 18, label(value), "middle")
        picture.text(picture.x0, 12, title)
        for i, kind in enumerate(order):
            value = sums[kind][what]
            picture.rect(picture.x0, picture.y(i + .18), picture.x(value), picture.y(i + .82),
                         colours[kind], f"{kind}: {number(value)} {title}")
            picture.text(picture.x(value) + 6, picture.y(i + .5) + 4, number(value))
            if what == 0:
                picture.text(picture.x0 - 8, picture.y(i + .5) + 4, kind, "end")
    counts.line(costs.x0, costs.y0, costs.x1, costs.y0, "base")
    counts.parts += costs.parts
    return section("Instructions by reason", "What had to be emulated (small letters: by reading the "
                   "instruction) or was told by the exit itself (capital letters: the exit's name).",
                   counts.svg("instructions by reason"))


def hottest(run, cost, palette):
    places = {}
    for row in run.rows:
        if row.rip and not row.waits:
            places.setdefault(row.rip, []).append(row)
    order = sorted(places.values(), key=lambda rows: -sum(r.ticks for r in rows))[:20]
    most = sum(r.ticks for r in order[0]) if order else 0
    lines = []
    for rows in order:
        ticks, count = sum(r.ticks for r in rows), sum(r.count for r in rows)
        rows.sort(key=lambda r: -r.ticks)
        first = rows[0]
        registers = ", ".join(dict.fromkeys(r.register for r in rows[:3] if r.register))
        registers += f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        where = f'<code class="rip">{first.rip:016x}</code>'
        where += f"<small>{esc(first.symbol)}</small>" if first.symbol else ""
        lines.append((where, f"<code>{esc(first.instruction)}</code>", esc(registers),
                      esc(first.kind), number(count), number(ticks // count), share(ticks, cost),
                      bar(ticks, most, palette.colour(first.reason), f"{number(ticks)} ticks")))
    return section("Hottest places", f"The {len(order)} addresses of the guest's code that cost most.",
                   table(["RIP", "instruction", "register", "reason", "#count", "#ticks each",
                          "#cost", ""], lines))


def percentile(values, percent):
    """The least value that so many percent of the (sorted) values do not exceed."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]


def distribution(records, palette):
    costs = [(r.ticks, r.reason) for r in records if r.ticks and r.reason not in ("HLT", "LIFE")]
    if not costs:
        return ""
    names = palette.all(reason for _, reason in costs)
    values = sorted(t for t, _ in costs)
    low, high = 2 ** math.floor(math.log2(values[0])), 2 ** math.ceil(math.log2(values[-1] + 1))
    bins = [low * 2 ** (i / 4) for i in range(4 * round(math.log2(high / low)) + 1)]
    counts = [{} for _ in bins]
    for ticks, reason in costs:
        at, name = min(int(4 * math.log2(ticks / low)), len(bins) - 2), palette.name(reason)
        counts[at][name] = counts[at].get(name, 0) + 1
    picture = Picture(250, (low, high), (0, max(sum(c.values()) for c in counts) * 1.08), top=30)
    picture.log = True
    octaves = bins[::4]
    picture.axes("ticks from exit to entry (logarithmic)", "exits", xticks=octaves, xformat=lambda v: number(round(v)))
    for at, (a, b) in enumerate(zip(bins, bins[1:])):
        base = 0
        for name in names:
            n = counts[at].get(name, 0)
            if n:
                picture.rect(picture.x(a) + .5, picture.y(base), picture.x(b) - .5,
                             picture.y(base + n), palette.colour(name),
                             f"{name}: {n} of {a:.0f} to {b:.0f} ticks")
                base += n
    for i, percent in enumerate((50, 95, 99)):
        value = percentile(values, percent)
        picture.line(picture.x(value), picture.y1 - 10, picture.x(value), picture.y0, "mark")
        picture.text(picture.x(value) + 4, picture.y1 - 2 + 13 * i,
                     f"{percent} % within {number(value)}")
    return section("What an exit cost", f"The last {number(len(costs))} exits in the ring, by their "
                   "ticks; waits in HLT left out.",
                   legend((n, palette.colour(n)) for n in names),
                   picture.svg("distribution of ticks"))


def microscope(run, palette):
    records = [r for r in run.records if r.reason != "LIFE"]
    if len(records) < 2:
        return ""
    kinds = {}
    for r in records:
        kinds[r.kind] = kinds.get(r.kind, 0) + 1
    lanes = sorted(kinds, key=lambda k: -kinds[k])
    begin = run.seconds(records[0].tsc)
    end = max(run.seconds(r.tsc + (0 if r.reason == "HLT" else r.ticks)) for r in records)
    picture = Picture(20 * len(lanes) + 56, (begin, end), (len(lanes), 0), left=170)
    picture.axes("seconds since the start of the guest", yticks=[])
    for i, kind in enumerate(lanes):
        picture.line(picture.x0, picture.y(i + 1), picture.x1, picture.y(i + 1))
        picture.text(picture.x0 - 8, picture.y(i + .5) + 4, f"{kind}  {kinds[kind]}", "end")
    for r in records:
        at, lane = run.seconds(r.tsc), lanes.index(r.kind)
        last = min(end, at + r.ticks / run.hz)
        what = r.row.instruction if r.row else ""
        register = f"\n{r.row.register}, {r.value:#x}" if r.row and r.row.register else ""
        picture.rect(picture.x(at), picture.y(lane + .12),
                     max(picture.x(last), picture.x(at) + 1.2), picture.y(lane + .88),
                     palette.colour(r.reason),
                     f"{at:.6f} s: {r.rip:#x} {what}{register}\n{number(r.ticks)} ticks")
    return section("The last records", f"{number(len(records))} records over "
                   f"{duration(end - begin)}; a bar is as long as the guest was away.",
                   picture.svg("the last records"))


def everything(run):
    rows = sorted(run.rows, key=lambda r: -r.count)
    lines = [(number(r.count), number(r.ticks // r.count), esc(r.kind),
              f'<code class="rip">{r.rip:016x}</code><small>{esc(r.symbol)}</small>', esc(r.register),
              f"<code>{esc(r.instruction)}</code>") for r in rows]
    exits = [(esc(e.name), number(e.count), number(e.quiet), number(e.ticks),
              number(e.ticks // e.count), number(e.most))
             for e in sorted(run.exits, key=lambda e: -e.count)]
    told = sum(r.count for r in rows if r.reason != "STEP")
    quiet, count = sum(e.quiet for e in run.exits), sum(e.count for e in run.exits)
    verdict = "nothing is untold" if told + quiet == count else \
        f"{number(count - told - quiet)} were not traced"
    return section("Does it add up?", f"{number(count)} exits counted; {number(told)} told by the "
                   f"table of instructions and {number(quiet)} by events or time: {verdict}.",
                   table(["exit", "#count", "#not by an instruction", "#ticks", "#mean", "#most"],
                         exits),
                   f"<br><details><summary>All {len(rows)} rows of the table</summary>",
                   table(["#count", "#ticks each", "reason", "RIP", "register", "instruction"], lines),
                   "</details>")


def tiles(run, cost):
    exits, elapsed = sum(e.count for e in run.exits), run.now - run.started
    halted = run.slices[-1].halted if run.slices else 0
    instructions = sum(r.count for r in run.rows)
    spent = sum(e.ticks for e in run.exits if e.name != "HLT")
    count = sum(e.count for e in run.exits if e.name != "HLT")
    entries = [(duration(elapsed / run.hz), "since the start of the guest"),
               (number(exits), "exits"), (number(instructions), "instructions needed Vitrine"),
               (number(spent // count) if count else "–", "ticks per exit (without HLT)"),
               (share(spent, elapsed), "of the time in Vitrine"), (share(halted, elapsed), "idle")]
    return '<div class="tiles">' + "".join(f'<div class="tile"><b>{esc(a)}</b><span>{esc(b)}</span></div>'
                                           for a, b in entries) + "</div>"


def report_of(run):
    cost = sum(r.ticks for r in run.rows if not r.waits)
    palette = Palette({"STEP": sum(r.count for r in run.rows if r.reason == "STEP"),
                       **{e.name: e.count for e in run.exits}})
    yield (f"<h1>{esc(run.vm)}: what it needed Vitrine for</h1><p>Virtual CPU {run.cpu}. A tick is one of "
           f"the time-stamp counter's, {run.hz / 1e6:g} million a second (on Bochs: one instruction); "
           "a cost is from the exit to the next entry.</p>")
    yield tiles(run, cost)
    yield over_time(run, palette)
    yield by_cause(run, cost)
    if run.rows:
        yield by_reason(run.rows, palette)
        yield hottest(run, cost, palette)
    yield distribution(run.records, palette)
    yield microscope(run, palette)
    yield everything(run)


def as_html(runs):
    yield ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
           'content="width=device-width"><link rel="icon" href="data:,"><title>'
           f'Vitrine: {esc(", ".join(dict.fromkeys(r.vm for r in runs)))}</title><style>{STYLE}</style>'
           '</head><body><main>')
    for run in runs:
        yield from report_of(run)
    yield "<footer>Written by Vitrine's tools/trace.</footer></main></body></html>\n"
