"""The places that fault tests arm: nothing happens unless the environment names them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streambg.errors import ConfigError, SessionEnded
from streambg.process.crash import EXIT_CODE, SITES, VARIABLE, Crash

ROOT = Path(__file__).parent.parent.parent
PUBLISHER = [ROOT / "streambg" / "publishing" / name for name in ("session.py", "assignment.py", "transaction.py")]


def test_unarmed_it_does_nothing() -> None:
    for site in SITES:
        Crash("").at(site)
    Crash("").behind_a_commit()


def test_K2_every_site_is_in_the_publisher_once() -> None:
    assert sorted(re.findall(r'CRASH\.at\("([a-z-]+)"\)', "".join(file.read_text() for file in PUBLISHER))) == sorted(
        SITES
    )


def test_the_third_time_it_ends_the_process() -> None:
    loop = "for n in range(9):\n    print(n, flush=True)\n    CRASH.at('after-flush')"
    script = f"from streambg.process.crash import CRASH\n{loop}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={VARIABLE: "after-flush:3", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (EXIT_CODE, ["0", "1", "2"])


def test_a_share_of_the_sessions_ends_behind_a_commit() -> None:
    with pytest.raises(SessionEnded, match="on purpose"):
        Crash("session-end:1").behind_a_commit()


@pytest.mark.parametrize("text", ["nowhere:1", "after-flush", "after-flush:x", "session-end:often"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no place and count"):
        Crash(text)
