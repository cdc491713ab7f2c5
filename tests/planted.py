"""What is planted into an honest recording, one at a time, and what the audit must say of it (P34; V1)."""

from __future__ import annotations

from corruptions import (
    Corruption,
    aborted,
    cutover,
    double,
    drop,
    epoch_back,
    extra,
    extra_within,
    foreign,
    marked,
    moved,
    no_cutover,
    of_another_topic,
    of_the_deployment_before,
    other_model,
    repeats_value,
    second_cutover,
    swap,
    unknown_epoch,
    wrong_bucket,
    wrong_color,
    wrong_key,
    wrong_value,
)
from letter_corruptions import (
    edit_letter,
    letter_as_well,
    letter_twice,
    lost_letter,
    other_chosen,
    refused_stand_in,
    unjustified_letter,
)

from streambg.audit.tally import Kind

# Its name, what it does, and all that the audit counts then; None: at least something.
Planted = tuple[str, Corruption, dict[Kind, int] | None]

# The fault list's, V1.
ONE: list[Planted] = [
    ("drop the first record", drop(0), {Kind.LOST: 1}),
    ("drop the last record", drop(-1), {Kind.LOST: 1}),
    ("drop a middle record", drop(70), {Kind.LOST: 1}),
    ("double an adjacent record", double(1), {Kind.DOUBLED: 1}),
    ("double a far record", double(80), {Kind.DOUBLED: 1}),
    ("swap two", swap, {Kind.OUT_OF_ORDER: 1}),
    ("wrong color for the epoch", wrong_color, {Kind.WRONG_COLOR: 1}),
    ("epoch goes back", epoch_back, {Kind.EPOCH_BACK: 1, Kind.WRONG_EPOCH: 1}),
    ("an aborted record made visible", aborted, {Kind.DOUBLED: 3, Kind.WRONG_VALUE: 3}),
    ("wrong value", wrong_value, {Kind.WRONG_VALUE: 1}),
    ("record moved to another partition", moved, {Kind.WRONG_PARTITION: 1, Kind.LOST: 1}),
    ("tail truncated", drop(-10, 10), {Kind.LOST: 10}),
    ("extra record past the input", extra, {Kind.EXTRA: 1}),
    ("an unjustified error", marked("error"), {Kind.UNJUSTIFIED: 1}),
    ("an unjustified absent", marked("absent"), {Kind.UNJUSTIFIED: 1}),
    ("an unjustified dead letter", unjustified_letter, {Kind.UNJUSTIFIED: 1}),
    ("a wrong bucket", wrong_bucket, {Kind.WRONG_COLOR: 1}),
    ("a cutover record that is late", cutover(9), None),
    ("a cutover record that is early", cutover(-9), None),
]
# And more of the kind.
MORE: list[Planted] = [
    ("a repeated batch's answer", repeats_value, {Kind.WRONG_VALUE: 1}),
    ("another key", wrong_key, {Kind.WRONG_VALUE: 1}),
    ("an outcome of a gap", extra_within, {Kind.EXTRA: 1}),
    ("published and dead-lettered", letter_as_well, {Kind.DOUBLED: 1}),
    ("a dead letter of an aborted transaction", letter_twice, {Kind.DOUBLED: 1}),
    ("an answer of the deployment before", of_the_deployment_before, {Kind.WRONG_VALUE: 1}),
    ("a dead letter dropped", lost_letter, {Kind.LOST: 1}),
    ("a dead letter of the other color", other_chosen, {Kind.WRONG_COLOR: 1}),
    ("a dead letter without reasons", edit_letter(reasons={}), {Kind.UNJUSTIFIED: 1}),
    (
        "a dead letter with an invented reason",
        edit_letter(reasons={"blue": "?", "green": "none"}),
        {Kind.UNJUSTIFIED: 1},
    ),
    ("a dead letter of another partition", edit_letter(source="payments/1@3"), {Kind.WRONG_PARTITION: 1, Kind.LOST: 1}),
    ("an unreadable dead letter", edit_letter(source="?"), None),
    ("a stand-in that was not asked", refused_stand_in, {Kind.UNJUSTIFIED: 1}),
    ("a second cutover record of one epoch", second_cutover, {Kind.CUTOVER: 1}),
    ("a cutover record dropped", no_cutover, None),
    ("another model than deployed", other_model, {Kind.WRONG_COLOR: 1}),
    ("an epoch that was refused", unknown_epoch, None),
    ("somebody else's record", foreign, {Kind.FOREIGN: 1}),
    ("another topic's outcome", of_another_topic, {Kind.FOREIGN: 1}),
]
