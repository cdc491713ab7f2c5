"""docs/performance-peers.md: date, versions, machine, settings, method, table, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers import ours, table
from benchmarks.peers.results import Found, Machine
from benchmarks.peers.roster import PEERS


def titles() -> dict[str, str]:
    return {ours.NAME: ours.TITLE, **{peer.name: peer.title for peer in PEERS}}


def page(found: Mapping[str, Found], machine: Machine) -> str:
    return table.markdown(table.rows(found, titles()))
