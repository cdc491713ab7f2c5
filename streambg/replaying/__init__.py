"""A range of the input scored again, off to the side, and compared with what production published (docs/replay.md).

request.py, plan.py   what is asked for; what is read for it, pinned (pins.py and lanes.py ask the broker)
partition.py          window by window: both sides joined and counted by the comparator's own code
contender.py          a model that is asked; against.py, stored.py: the other side
proof.py              what this very model published must come out again
labels.py, series.py  labels joined from a table; series for charts
state.py, place.py    checkpoints, and the folder they stand in
work.py, pool.py, worker.py, reading.py   the edge: Kafka, the loop, processes over partitions
summing.py, charts.py, examples.py, document.py   the report
run.py                from request to report
"""
