"""Bars as SVG text, readable on a light and on a dark page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Pixels. The labels take the left part; a value stands behind its bar.
WIDTH, LABELS, VALUES = 860, 330, 120
ROW, BAR, TOP, BOTTOM = 30, 18, 46, 14
# Colors of streambg's own rows and of the raw loops beside them.
OURS, RAW, MARK = "#2f7ed8", "#9aa5b1", "#d64545"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:15px}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `mark` is where a value that must be reached stands."""

    label: str
    value: float
    raw: bool = False
    mark: float | None = None


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """A picture of horizontal bars from 0. Raises ValueError where there are none."""
    if not rows:
        raise ValueError("a picture of nothing")
    height = TOP + ROW * len(rows) + BOTTOM
    scale = (WIDTH - LABELS - VALUES) / max(max(row.value, row.mark or 0.0) for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="t" x="8" y="24">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + ROW * number
        length = max(1.0, row.value * scale)
        color = RAW if row.raw else OURS
        parts.append(f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(row.label)}</text>')
        parts.append(f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2" fill="{color}"/>')
        parts.append(f'<text x="{LABELS + length + 6:.1f}" y="{y + 14}">{short(row.value)} {escape(unit)}</text>')
        if row.mark is not None:
            x = LABELS + row.mark * scale
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 4}" x2="{x:.1f}" y2="{y + BAR + 4}" stroke="{MARK}" stroke-width="2"/>'
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def short(value: float) -> str:
    """Three digits: 1.23, 12.3, 123, 1,230, 12,300."""
    if value >= 1_000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"
