"""Judges what a pipeline published, from its topics alone, with code of its own (P34, P35)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from streambg.audit.conduct import Progress, audit_records
from streambg.audit.report import Report
