"""P34-P36: the audit, and publishing again."""

from __future__ import annotations

from breaks.one import Break

PARTS = "tests/unit/test_audit_parts.py::"
RANGES = "tests/unit/test_audit_ranges.py::"
CORRUPTIONS = "tests/unit/test_audit_corruptions.py::"
SUPERSEDING = "tests/unit/test_superseding.py::"
DEADLINES = "tests/unit/test_deadlines.py::"

BREAKS = (
    Break(
        34,
        "the audit uses the publisher's fold",
        "tests/unit/test_audit_cli.py::test_P34_the_audit_shares_no_fold_bucket_or_decision_with_the_publisher",
        "streambg/audit/answers.py",
        "from streambg.audit.sources import Chunk\n",
        "from streambg.audit.sources import Chunk\nfrom streambg.records.coverage import Coverage  # noqa: F401\n",
    ),
    Break(
        34,
        "the audit believes every `error` and `absent`",
        CORRUPTIONS + "test_P34_a_publisher_that_falls_back_or_dead_letters_at_will_fails",
        "streambg/audit/judge.py",
        '    return None if justified else _unjustified(f"`{why}` only',
        '    return None if justified or chosen else _unjustified(f"`{why}` only',
    ),
    Break(
        34,
        "the audit believes every `late`",
        CORRUPTIONS + "test_P34_a_publisher_that_falls_back_or_dead_letters_at_will_fails",
        "streambg/audit/judge.py",
        "    if stood <= deadline_ms:\n",
        "    if stood <= deadline_ms or color:\n",
    ),
    Break(
        34,
        "the audit believes every dead letter",
        CORRUPTIONS + "test_P34_a_publisher_that_falls_back_or_dead_letters_at_will_fails",
        "streambg/audit/judge.py",
        "    return judgement if judgement is not None else _stand_in_failed(case, reasons[other(chosen)])",
        "    return None",
    ),
    Break(
        34,
        "the audit believes a dead letter by two colors that were late",
        CORRUPTIONS + "test_P34_a_publisher_that_falls_back_or_dead_letters_at_will_fails",
        "streambg/audit/judge.py",
        "    if all(reasons[color] == LATE and not",
        "    if all(reasons[color] == NONE == LATE and not",
    ),
    Break(
        34,
        "the audit does not compare the published bytes",
        CORRUPTIONS + "test_P34_V1_each_planted_corruption_is_named",
        "streambg/audit/segment.py",
        "            if value != right:\n",
        "            if value is None:\n",
    ),
    Break(
        34,
        "what is called late is committed however old the look is",
        DEADLINES + "test_P34_what_reaches_the_log_long_after_the_look_stands_only_by_another",
        "streambg/publishing/deadlines.py",
        "if now - claim.at > _good_for(partitions[number], color) / GOOD_FOR",
        "if now - claim.at > 1_000 * _good_for(partitions[number], color) / GOOD_FOR",
    ),
    Break(34, "`late` without another look", "mutant: late without another look before a slow commit"),
    Break(
        35,
        "what expired is called lost",
        RANGES + "test_P35_expired_outcomes_are_not_called_lost",
        "streambg/audit/presence.py",
        "blind = missing < complete",
        "blind = missing < 0",
    ),
    Break(
        35,
        "outcomes of compacted events are called extra",
        RANGES + "test_P35_outcomes_of_compacted_events_are_not_extra",
        "streambg/audit/presence.py",
        "if self._compacted:",
        "if self._compacted is None:",
    ),
    Break(
        35,
        "answers whose batches are gone are judged",
        PARTS + "test_P35_behind_a_raised_log_start_the_first_batch_may_be_a_repeat",
        "streambg/audit/answers.py",
        "self._known_from = -1 if complete else EVERYTHING",
        "self._known_from = -1",
    ),
    Break(
        35,
        "nothing to audit is ok",
        RANGES + "test_P35_nothing_settled_is_never_ok",
        "streambg/audit/report.py",
        'verdict: Verdict = "ok" if verified else "nothing to audit"',
        'verdict: Verdict = "ok"',
    ),
    Break(
        35,
        "a command takes effect, and nobody says how long that took",
        RANGES + "test_P35_the_report_says_the_delay_from_command_to_cutover",
        "streambg/audit/partition.py",
        "delays_ms=list(self._line.delays_ms),",
        "delays_ms=[],",
    ),
    Break(
        36,
        "a range is superseded before it is settled",
        SUPERSEDING + "test_P36_the_stored_answers_of_the_range_go_out_in_order_and_errors_are_left",
        "streambg/publishing/superseding.py",
        "return self._todo[0] if self._todo and self._todo[0].place.end - 1 <= settled else None",
        "return self._todo[0] if self._todo else None",
    ),
    Break(
        36,
        "an error row is published again",
        SUPERSEDING + "test_P36_the_stored_answers_of_the_range_go_out_in_order_and_errors_are_left",
        "streambg/publishing/superseding.py",
        "np.flatnonzero(view.ok & inside)",
        "np.flatnonzero(inside)",
    ),
    Break(
        36,
        "a command is said to move the route",
        SUPERSEDING + "test_P36_the_command_is_recorded_and_moves_nothing",
        "streambg/control/moves.py",
        "return replace(state, supersessions=",
        "return replace(state, weight=0, live=args.color, supersessions=",
    ),
    Break(
        36,
        "who takes over a partition forgets how far it had come",
        "tests/unit/test_resume.py::"
        "test_P36_superseding_goes_on_where_it_was_and_what_is_not_recorded_any_more_counts_as_done",
        "streambg/publishing/resume.py",
        "return Progress(facts.superseded.epoch, facts.superseded.superseded, facts.superseded.written)",
        "return Progress(facts.superseded.epoch, -1, 0)",
    ),
    Break(36, "superseding begins anew at every takeover", "mutant: superseding begins anew at every takeover"),
    Break(36, "superseding past answers not read", "mutant: superseding past answers that were not read"),
)
