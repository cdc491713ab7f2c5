"""Who runs which test under `-n`: tests that share a module fixture stay together, others go to whoever is free.

xdist's own `loadgroup` marks a test's group in its node id, and pytest 9.2 no longer lets it.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

# Their module fixtures take long to make, or tests that come later rely on earlier ones. A file that is missing here
# only makes its fixtures twice.
TOGETHER = frozenset(
    {
        "test_acls.py",
        "test_audit_broker.py",
        "test_audit_planted.py",
        "test_audit_following.py",
        "test_cicd.py",
        "test_backfill.py",
        "test_demo.py",
        "test_doctor.py",
        "test_kafka_admin.py",
        "test_late_end.py",
        "test_looking.py",
        "test_replay.py",
        "test_replay_browser.py",
        "test_replay_disturbed.py",
        "test_servers_docker.py",
        "test_status.py",
        "test_supersede.py",
    }
)


def unit_of_work(nodeid: str) -> str:
    """Unit tests by file, for a test takes less than handing it over; integration tests one by one."""
    file = PurePosixPath(nodeid.partition("::")[0])
    return str(file) if file.parent.name == "unit" or file.name in TOGETHER else nodeid


class Scheduling(LoadScopeScheduling):
    """In the order of collection: the long integration tests first, the unit tests even out the end."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of_work(nodeid)
