"""The two pictures of docs/decisions.md, from the product's own arithmetic: `python -m decisions --pictures docs`."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decisions.others import Z_05
from decisions.streams import Streams, paired
from streambg.deciding import grid
from streambg.deciding.eprocess import log_good, log_harm

Floats = npt.NDArray[np.float64]

WIDTH, HEIGHT = 860, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 46, 44
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:15px}.a{stroke:#9aa5b1}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
)
GOOD, HARM, OTHER, LIMIT = "#2f7ed8", "#d64545", "#9a6dd7", "#57606a"
SEED = 5
ALPHA_PROMOTE, ALPHA_ABORT = 0.05, 0.01
# A look at every tenth event makes the same picture as one at each.
EVERY = 10


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: y over events, in powers of ten; label at its end."""

    label: str
    color: str
    logs: Floats


def e_path() -> str:
    """An equal candidate and one that is worse by 2 points, both at a margin of 1 point."""
    rng = np.random.default_rng(SEED)
    equal, worse = (paired(rng, (1, 3_000), mean, 0.05)[0] for mean in (0.0, -0.02))
    lines = [
        Line("equal: promote", GOOD, _e_values(equal, 0.01, harm=False)),
        Line("worse: promote", OTHER, _e_values(worse, 0.01, harm=False)),
        Line("worse: harm", HARM, _e_values(worse, 0.005, harm=True)),
    ]
    limits = {"1 / .05: promote": -log10(ALPHA_PROMOTE), "1 / .01: abort": -log10(ALPHA_ABORT)}
    return _picture("e-values, looked at as often as one likes", lines, limits, (-2.0, 4.0))


def peeked() -> str:
    """Two equal models: the p-value of a usual test, and one over the e-value that a gate has instead."""
    stream = _most_unlucky()
    n = np.arange(1, len(stream) + 1)
    mean = np.cumsum(stream) / n
    error = np.sqrt(np.maximum(np.cumsum(stream != 0) / n - mean**2, 1e-6) / n)
    worse = -mean / error
    lines = [
        Line("z-test: p", HARM, np.log10(_upper_tail(worse))[EVERY - 1 :: EVERY]),
        Line("gate: 1 / e", GOOD, -_e_values(stream, 0.0, harm=True)),
    ]
    return _picture("two equal models: is the candidate worse?", lines, {"p = .05": log10(0.05)}, (-3.0, 1.0))


def _most_unlucky() -> npt.NDArray[np.int8]:
    """Of twenty streams the one on which the usual test is most wrong: nobody knows beforehand which one he has."""
    streams: Streams = paired(np.random.default_rng(SEED), (20, 3_000), 0.0, 0.05)
    n = np.arange(1, streams.shape[1] + 1)
    mean = np.cumsum(streams, axis=1) / n
    error = np.sqrt(np.maximum(np.cumsum(streams != 0, axis=1) / n - mean**2, 1e-6) / n)
    crossed = (-mean / error > Z_05)[:, 200:].sum(axis=1)
    chosen: npt.NDArray[np.int8] = streams[int(crossed.argmax())]
    return chosen


def _upper_tail(z: Floats) -> Floats:
    """P(Z >= z) of a standard normal."""
    from scipy.stats import norm  # noqa: PLC0415 - of the tests' own environment, for one picture

    tail: Floats = np.maximum(norm.sf(z), 1e-9)
    return tail


def _e_values(stream: npt.NDArray[np.int8], margin: float, *, harm: bool) -> Floats:
    """log10 of E at every tenth event, by the product."""
    logs = []
    for upto in range(EVERY, len(stream) + 1, EVERY):
        counts = grid.counted(stream[:upto].astype(np.int64) * grid.ONE)[0]
        logs.append((log_harm if harm else log_good)(counts, margin) / np.log(10))
    return np.array(logs)


def _picture(title: str, lines: list[Line], limits: dict[str, float], span: tuple[float, float]) -> str:
    low, high = span
    count = max(len(line.logs) for line in lines)

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / count

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - min(max(value, low), high)) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="t" x="8" y="24">{escape(title)}</text>',
        f'<line class="a" x1="{LEFT}" y1="{TOP}" x2="{LEFT}" y2="{HEIGHT - BOTTOM}"/>',
        f'<line class="a" x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">events</text>',
    ]
    for power in range(int(low), int(high) + 1):
        shown = f"{10**power:,}" if power >= 0 else f"{10.0**power:.4g}"
        parts.append(f'<text x="{LEFT - 8}" y="{y(power) + 4:.1f}" text-anchor="end">{shown}</text>')
    parts += [
        f'<text x="{x(events / EVERY):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{events:,}</text>'
        for events in range(0, count * EVERY + 1, 1_000)
    ]
    for name, value in limits.items():
        parts.append(
            f'<line x1="{LEFT}" y1="{y(value):.1f}" x2="{WIDTH - RIGHT}" y2="{y(value):.1f}" stroke="{LIMIT}" '
            f'stroke-dasharray="6 4"/><text x="{LEFT + 8}" y="{y(value) - 5:.1f}">{escape(name)}</text>'
        )
    for line in lines:
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in enumerate(line.logs))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{line.color}" stroke-width="2"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT + 8}" y="{y(float(line.logs[-1])) + 4:.1f}" style="fill:{line.color}">'
            f"{escape(line.label)}</text>"
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


PICTURES = {"decisions-path.svg": e_path, "decisions-peeked.svg": peeked}


def write(folder: Path) -> list[Path]:
    """All of them; which files they are."""
    files = []
    for name, draw in PICTURES.items():
        file = folder / name
        file.write_text(draw(), encoding="utf-8")
        files.append(file)
    return files
