"""P4: what a pipeline file decides is what every reader of the control log folds."""

from __future__ import annotations

from pathlib import Path

from pipeline_files import loaded, small

from streambg.records.rules import Rules


def test_P4_the_deciding_text_is_read_back_by_the_rules(tmp_path: Path) -> None:
    text = (
        small().replace("format: json", "format: json\n  bucket_by: field:machine").replace("[score]", "[risk, score]")
    )
    pipeline = loaded(tmp_path, text + "publish: {late: {live: 10s, candidate: wait}, live_failed: candidate}\n")
    rules = Rules.from_text(pipeline.deciding_text())
    assert rules.bucket_field == "machine"
    assert (rules.late_live_ms, rules.late_candidate_ms) == (10_000, None)
    assert rules.live_failed == "candidate"
    assert (rules.outputs, rules.decision_output, rules.decision_threshold) == (("risk", "score"), 1, 0.5)


def test_P4_the_defaults_are_written_out(tmp_path: Path) -> None:
    rules = Rules.from_text(loaded(tmp_path, small()).deciding_text())
    assert (rules.bucket_field, rules.late_live_ms, rules.late_candidate_ms) == (None, None, 2_000)
    assert rules.live_failed == "dead-letter"
