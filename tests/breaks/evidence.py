"""P30-P33, what is learnt about a candidate."""

from __future__ import annotations

from breaks.one import Break

EVIDENCE = "tests/unit/test_comparing_evidence.py::"
LOCATE = "tests/unit/test_comparing_locate.py::"
NUMBERS = "tests/unit/test_comparing_numbers.py::"
LABELS = "tests/unit/test_labels_evidence.py::"

BREAKS = (
    Break(
        30,
        "a read position runs ahead of what was compared",
        "tests/unit/test_comparing_views.py::test_P30_an_old_snapshot_only_means_more_replay",
        "streambg/comparing/side.py",
        "self.place = Place(segment.log_offset + 1, segment.coverage)",
        "self.place = Place(segment.log_offset + 1, self.coverage)",
    ),
    Break(
        30,
        "the snapshot that came last counts, whoever wrote it",
        "tests/unit/test_comparing_views.py::test_P30_of_two_snapshots_the_one_that_compared_more_is_resumed",
        "streambg/comparing/evidence_log.py",
        "if kept is None or rank >= kept.rank:",
        "if kept is None or kept.value != value:",
    ),
    Break(
        30,
        "evidence that had to start over loses against what is lost",
        "tests/unit/test_comparing_views.py::test_P30_evidence_that_had_to_start_over_is_preferred_to_what_it_lost",
        "streambg/comparing/evidence_log.py",
        "rank = (head.start, head.compared)",
        "rank = (head.compared, head.start)",
    ),
    Break(
        30,
        "evidence has the key of its partition and one deployment",
        LOCATE + "test_the_pair_follows_the_control_log",
        "streambg/comparing/pair.py",
        'in its compacted topic (P30)."""\n        return f"{partition}/{self.blue}/{self.green}".encode()',
        'in its compacted topic (P30)."""\n        return f"{partition}/{self.blue}".encode()',
    ),
    Break(
        31,
        "evidence begins with the first batch's end",
        LOCATE + "test_a_long_log_is_searched_not_read",
        "streambg/comparing/locate.py",
        "    begin = head.after\n",
        "    begin = head.upto\n",
    ),
    Break(
        31,
        "live is read from the batch behind the one that covers the beginning",
        LOCATE + "test_P31_a_record_that_is_no_batch_does_not_hide_the_first_batch_from_the_search",
        "streambg/comparing/locate.py",
        "places[older] = Place(at, Coverage(pair.of(older), begin))",
        "places[older] = Place(at + 1, Coverage(pair.of(older), begin))",
    ),
    Break(
        31,
        "live's rows before the candidate's first are evidence",
        EVIDENCE + "test_P31_rows_up_to_the_start_are_no_evidence",
        "streambg/comparing/evidence.py",
        "        self.compared = start\n",
        "        self.compared = -1\n",
    ),
    Break(
        32,
        "differences are added up as they come",
        NUMBERS + "test_P32_sums_are_those_of_whole_numbers_however_they_are_cut",
        "streambg/comparing/sums.py",
        "            self.squares += int(np.dot(values, values))\n",
        "            self.squares += int(np.dot(values.astype(np.float32), values.astype(np.float32)))\n",
    ),
    Break(
        32,
        "partitions are merged in the order in which they come",
        "tests/unit/test_deciding_kinds.py::test_P32_partitions_add_up",
        "streambg/deciding/detector.py",
        "sorted(detectors, key=lambda entry: entry[0])",
        "detectors",
    ),
    Break(
        32,
        "what was dropped before the evidence begins counts",
        EVIDENCE + "test_P32_what_is_dropped_before_the_evidence_begins_is_no_evidence",
        "streambg/comparing/side.py",
        "if segment.upto > counted and segment.start > start:",
        "if segment.upto > counted:",
    ),
    Break(
        33,
        "a label ahead of its event is looked for at once",
        LABELS + "test_P33_a_label_ahead_of_its_event_waits_and_all_behind_it",
        "streambg/labelling/stream.py",
        "if read.time + EARLY_MS > frontier.passed:",
        "if read.time < 0:",
    ),
    Break(
        33,
        "a label whose event is not in the room any more is passed",
        LABELS + "test_P33_a_label_ahead_of_its_event_waits_and_all_behind_it",
        "streambg/labelling/stream.py",
        "if oldest < frontier.since:",
        "if oldest < 0:",
    ),
    Break(
        33,
        "a label that is read again counts again",
        LABELS + "test_P33_borders_kills_and_lost_marks_change_no_bit",
        "streambg/labelling/stream.py",
        "        if label.offset < self.evidence.position:\n            return  # counted",
        "        if label.offset < 0:\n            return  # counted",
    ),
    Break(
        33,
        "without Redis labels are read on",
        "tests/integration/test_labels_room.py::test_P33_a_redis_that_is_down_stops_labels_and_nothing_else",
        "streambg/labelling/desk.py",
        "            self._say(str(error) or type(error).__name__)\n",
        "            self._say(None)\n",
    ),
)
