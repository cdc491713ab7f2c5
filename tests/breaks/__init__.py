"""Every rule of docs/protocol.md broken in our own code, and the test that must notice; `rules_broken.py` tries it.

A break is a text that stands once in a file and the text in its place. One file a section of the protocol.
"""

from __future__ import annotations

from breaks import answers, audit, control, evidence, sessions, settling
from breaks.one import Break

BREAKS: tuple[Break, ...] = (
    *control.BREAKS,
    *answers.BREAKS,
    *settling.BREAKS,
    *sessions.BREAKS,
    *evidence.BREAKS,
    *audit.BREAKS,
)
