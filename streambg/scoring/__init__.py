"""Scoring: one consumer group per color answers every event (docs/protocol.md, P7-P13).

batching.py   events of one poll and their answers -> prediction batches
pace.py       how many events a poll takes
seeding.py    where a deployment begins or goes on in a partition
own_topic.py  the color's own predictions, folded behind delivery
positions.py  where it stands when partitions are given, and what it commits
site.py       what a session needs to know and to be given
session.py, process.py   the edge: Kafka, the loop
"""
