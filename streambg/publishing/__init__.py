"""Publishing: what is settled, by whose answer, in which transaction (docs/protocol.md, P14-P29).

answers.py      one color's answers in one partition: the fold, the rows that wait, the position to commit
settle.py       the decision: arrays in, a run of outcomes out
outcomes.py     a run as the records it writes
partition.py    one partition: both colors' answers, settled, epoch
superseding.py  what a recorded command wants published again
deadlines.py    late colors, partitions that stand still
resume.py       where to go on after an assignment
transaction.py  the producer and its open transaction
assignment.py, facts.py, tail.py, fencing.py, forgotten.py   the edge: Kafka, before the first answer
session.py, republishing.py, gap.py, process.py              the edge: Kafka, the loop
"""
