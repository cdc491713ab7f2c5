"""Every kind of process is killed while a demo runs; after its restart the audit says the same (Shows 3)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from checkout import Verb, checkout, pid_in
from endings import servers_end

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def test_the_audit_holds_after_each_process_was_killed(tmp_path: Path) -> None:
    """P8, P10, P11: a scorer's repeats are folded away. P21-P27: a publisher resumes where its log says. P30: so does
    a comparator.
    """
    folder = checkout(tmp_path)
    home = folder / ".streambg" / "demo"
    with servers_end(home, tmp_path / "stop.log"):
        demo = Verb(folder, "demo", "--events", "12000", "--rate", "1500", "--keep", "--output", "json")
        try:
            pids = {
                name: pid_in(demo.says(f"{name} started as pid"))
                for name in ("scorer.blue", "scorer.green", "publisher", "comparator", "controller")
            }
            demo.says("shift 10 %: epoch")  # both colors answer, and both are published
            for name in ("scorer.green", "comparator", "publisher", "controller", "scorer.blue"):
                os.kill(pids[name], signal.SIGKILL)
                demo.says(f"{name} started again as pid")
            code = demo.end(250)
        finally:
            demo.close()
        assert code == 0, "\n".join(demo.said)
        result = demo.json()
        assert result["audit"]["verdict"] == "ok"
        assert result["audit"]["events"] == 12_000
        assert set(result["audit"]["counts"].values()) == {0}
        # the demo itself kills the publisher once more
        once = dict.fromkeys(("scorer.blue", "scorer.green", "comparator", "controller"), 1)
        assert result["restarts"] == {**once, "publisher": 2}
        audit = Verb(folder, "audit", "--output", "json", **_addresses(home))
        assert audit.end() == 0, audit.said
        assert audit.json()["events"] == 12_000


def _addresses(home: Path) -> dict[str, str]:
    words = (home / "env").read_text().removeprefix("export ").split()
    return dict(word.split("=", 1) for word in words)
