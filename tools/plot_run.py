"""Training and validation loss of a run as an SVG picture.

    python tools/plot_run.py runs/demo/run docs/images/demo.svg [--title "…"]

Reads run.jsonl (docs/formats/run_log.md); needs nothing but Python. Readable on light and dark pages.
"""

import argparse
import json
import math
import pathlib

WIDTH, HEIGHT = 860, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 52


def read(run):
    steps, evals = {}, {}
    with open(pathlib.Path(run) / "run.jsonl", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["type"] == "resume":  # what came after that step was undone
                steps = {s: v for s, v in steps.items() if s <= record["step"]}
                evals = {s: v for s, v in evals.items() if s <= record["step"]}
            elif record["type"] == "step":
                steps[record["step"]] = record["loss"]
            elif record["type"] == "eval":
                evals[record["step"]] = (record["nll"], record["bits_per_byte"])
    return sorted(steps.items()), sorted(evals.items())


def ticks(low, high, count=6):
    step = 10 ** math.floor(math.log10((high - low) / count))
    step = next(step * m for m in (1, 2, 2.5, 5, 10) if (high - low) / (step * m) <= count)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def draw(steps, evals, title):
    last = steps[-1][0]
    low = min(min(v for _, v in steps), min(v for _, (v, _) in evals)) - 0.1
    high = max(v for _, v in steps) + 0.1
    x = lambda s: LEFT + (WIDTH - LEFT - RIGHT) * s / last
    y = lambda v: TOP + (HEIGHT - TOP - BOTTOM) * (high - v) / (high - low)
    path = lambda points: "M" + " L".join(f"{x(s):.1f},{y(v):.1f}" for s, v in points)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
           "<style>text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-size:15px;font-weight:600;fill:#24292f}"
           ".grid{stroke:#8b949e;stroke-opacity:.25}.train{fill:none;stroke:#8b949e;stroke-width:1}"
           ".val{fill:none;stroke:#1f6feb;stroke-width:2.5}.dot{fill:#1f6feb}.end{fill:#1f6feb;font-weight:600}"
           "@media(prefers-color-scheme:dark){text{fill:#9da7b3}.title{fill:#e6edf3}.val{stroke:#58a6ff}.dot,.end{fill:#58a6ff}}</style>",
           f'<text class="title" x="{LEFT}" y="24">{title}</text>']
    for value in ticks(low, high):
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
                   f'<text x="{LEFT - 10}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(0, last):
        out.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{value:g}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">step</text>')
    out.append(f'<text x="{LEFT}" y="{TOP - 10}">loss, nats a token</text>')
    out.append(f'<path class="train" d="{path(steps)}"/><path class="val" d="{path([(s, v) for s, (v, _) in evals])}"/>')
    out += [f'<circle class="dot" cx="{x(s):.1f}" cy="{y(v):.1f}" r="3.5"/>' for s, (v, _) in evals]
    end, (loss, bits) = evals[-1]
    out.append(f'<text class="end" x="{x(end):.1f}" y="{y(loss) - 38:.1f}" text-anchor="end">validation {loss:.3f} = {bits:.3f} bits per byte</text>')
    out.append(f'<line class="train" x1="{WIDTH - 250}" x2="{WIDTH - 226}" y1="{TOP + 8}" y2="{TOP + 8}"/><text x="{WIDTH - 218}" y="{TOP + 12}">training</text>')
    out.append(f'<line class="val" x1="{WIDTH - 140}" x2="{WIDTH - 116}" y1="{TOP + 8}" y2="{TOP + 8}"/><text x="{WIDTH - 108}" y="{TOP + 12}">validation</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("output")
    parser.add_argument("--title", default="")
    arguments = parser.parse_args()
    steps, evals = read(arguments.run)
    title = arguments.title or arguments.run
    pathlib.Path(arguments.output).write_text(draw(steps, evals, title), encoding="utf-8")


if __name__ == "__main__":
    main()
