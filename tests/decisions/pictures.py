"""The pictures of docs/decisions.md: one candidate's e-values, and how often a peeked test has been wrong by then."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from decisions.others import Z_05, z_values
from decisions.streams import paired
from streambg.bench.picture import MARK, OURS, RAW, STYLE
from streambg.deciding.bets import LOG_WEIGHTS
from streambg.deciding.eprocess import good_factors, harm_factors
from streambg.deciding.grid import POINTS, ZERO

Floats = npt.NDArray[np.float64]

# Pixels: the picture, and the plot within it.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 330, 70, 150, 44, 44
# Points of a line; more than the plot has pixels says nothing.
POINTS_SHOWN = 400
SEED, EVENTS, STREAMS = 3, 8_000, 1_000
MARGIN, DISCORDANCE = 0.01, 0.05


def draw(folder: Path) -> list[Path]:
    """Both pictures, the same bytes every time."""
    made = {"e-value.svg": _e_values(), "peeking.svg": _peeking()}
    for name, text in made.items():
        (folder / name).write_text(text)
    return [folder / name for name in made]


def _e_values() -> str:
    """Two candidates: one as good as live, one worse by 2 points; what each of the two e-values says of them."""
    rng = np.random.default_rng(SEED)
    equal, worse = (paired(rng, (1, EVENTS), mean, DISCORDANCE)[0] for mean in (0.0, -0.02))
    good, harm = good_factors(MARGIN), harm_factors(MARGIN / 2)
    lines = [
        ("good enough, of an equal one", OURS, _path(equal, good)),
        ("harm, of one 2 points worse", MARK, _path(worse, harm)),
        ("good enough, of the worse one", RAW, _path(worse, good)),
    ]
    limits = [("promote: 1 / 0.05", np.log10(20.0)), ("abort: 1 / 0.01", 2.0)]
    return _plot(
        "e-values of two candidates, margin 1 point, looked at after every event",
        [(label, color, np.clip(path, -4.0, 4.0)) for label, color, path in lines],
        limits,
        [(float(power), f"10^{power}" if power else "1") for power in range(-4, 5, 2)],
    )


def _path(stream: npt.NDArray[np.int8], factors: Floats) -> Floats:
    """log10 of the e-value after every event."""
    logs = np.cumsum(np.log(factors[:, [0, ZERO, POINTS - 1]])[:, stream + 1], axis=1) + LOG_WEIGHTS[:, None]
    path: Floats = np.logaddexp.reduce(logs, axis=0) / np.log(10)
    return path


def _peeking() -> str:
    """A candidate that is exactly a margin worse: the share of runs that have promoted it by now."""
    streams = paired(np.random.default_rng(SEED), (STREAMS, EVENTS), -MARGIN, DISCORDANCE)
    peeked = np.maximum.accumulate(z_values(streams, MARGIN) >= Z_05, axis=1).mean(axis=0)
    factors = good_factors(MARGIN)
    ours = np.array([np.maximum.accumulate(_path(stream, factors) >= np.log10(20.0)) for stream in streams]).mean(
        axis=0
    )
    return _plot(
        "false promotions of a candidate that is exactly the margin worse",
        [("a 5 % test, looked at again and again", MARK, peeked), ("the gate, looked at as often", OURS, ours)],
        [("alpha: 5 %", 0.05)],
        [(share, f"{share:.0%}") for share in (0.0, 0.1, 0.2, 0.3, 0.4)],
    )


def _plot(
    title: str,
    lines: Sequence[tuple[str, str, Floats]],
    limits: Sequence[tuple[str, float]],
    ticks: Sequence[tuple[float, str]],
) -> str:
    """Lines over the events from 1 to EVENTS; labels stand at their ends."""
    low, high = ticks[0][0], max(ticks[-1][0], *(float(values.max()) for _, _, values in lines))
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def x(event: float) -> float:
        return LEFT + event / EVENTS * (right - LEFT)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}.s{{font-size:11px}}</style>",
        f'<text class="t" x="8" y="24">{escape(title)}</text>',
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="{RAW}"/>',
    ]
    parts += [
        f'<text class="s" x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{label}</text>'
        for value, label in ticks
    ]
    parts += [
        f'<text class="s" x="{x(event):.1f}" y="{bottom + 16}" text-anchor="middle">{event:,}</text>'
        for event in range(0, EVENTS + 1, 2_000)
    ]
    parts.append(f'<text class="s" x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">events</text>')
    for label, value in limits:
        at = y(value)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{right}" fill="none" stroke="{RAW}" stroke-dasharray="5 4"/>')
        parts.append(f'<text class="s" x="{right + 6}" y="{at + 4:.1f}">{escape(label)}</text>')
    for row, (label, color, values) in enumerate(lines):
        step = len(values) // POINTS_SHOWN
        points = " ".join(f"{x(event):.1f},{y(float(values[event])):.1f}" for event in range(0, len(values), step))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<rect x="{LEFT + 12}" y="{TOP + 4 + 18 * row}" width="14" height="3" fill="{color}"/>')
        parts.append(f'<text class="s" x="{LEFT + 32}" y="{TOP + 9 + 18 * row}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
