"""The numbers of this moment: what was sent and seen, and the comparator's live view."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from streambg.comparing.liveview import LiveView, read_live_view
from streambg.demo.play import Cast
from streambg.demo.screen import Numbers
from streambg.errors import Unreachable
from streambg.records.source import COLORS


class Live:
    """`look` fetches the comparator's view (from the sampler's thread); the rest is asked from any thread."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self.view: LiveView | None = None

    def look(self) -> None:
        """Fetch the view; while Redis or the comparator is away the last one stays."""
        with suppress(Unreachable):
            self.view = read_live_view(self._cast.pipeline.redis, self._cast.pipeline.name) or self.view

    def numbers(self) -> Numbers:
        """For the screen."""
        found, sender = self._cast.watcher.found(), self._cast.sender
        by_color = {color: sum(n for (of, _), n in found.published.items() if of == color) for color in COLORS}
        summary = self.view.summary if self.view else None
        return Numbers(
            sent=sender.sent,
            events=sender.events,
            outcomes=found.outcomes,
            blue=by_color["blue"],
            green=by_color["green"],
            others=sum(n for (_, why), n in found.published.items() if why != "route"),
            letters=len(found.letters),
            agreement=summary.agreement if summary else None,
            compared=summary.compared if summary else 0,
            in_force=self._cast.in_force[0],
        )

    def compared_up_to(self, ends: Mapping[int, int]) -> bool:
        """Has the comparator both colors' answers up to the last event of every partition?"""
        view = self.view
        if view is None:
            return False
        reached = [
            (view.covered.get(partition, {}).get(color), end) for partition, end in ends.items() for color in COLORS
        ]
        return all(covered is not None and covered >= end - 1 for covered, end in reached)
