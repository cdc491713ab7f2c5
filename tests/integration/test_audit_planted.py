"""V1 on real topics: each corruption is planted into the topics of a broker, and `streambg audit` names it (P34).

20 processes, so some 25 s.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import streambg
from planted import ONE, Planted
from planted_topics import Topics, audited, begin

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def topics(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Topics:
    return begin(kafka, tmp_path_factory.mktemp("planted"))


def test_P34_V1_the_unspoiled_topics_pass(topics: Topics) -> None:
    done = streambg(topics.written.file.parent, "audit", "--output", "json")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("planted", ONE, ids=[name for name, _, _ in ONE])
def test_P34_V1_the_command_names_what_was_planted(topics: Topics, planted: Planted, tmp_path: Path) -> None:
    report, wrong = audited(topics, planted, tmp_path)
    assert wrong == [], report
