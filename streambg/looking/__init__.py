"""Looking at single events: what went in, what both colors said, what came out, and why.

words.py     bytes and times as people type and read them
finding.py   where an outcome stands: a search in a log that is in source order
answers.py   which batches of a color hold an event, and what the fold made of them (P8)
why.py       why this answer went out, or what is waited for
event.py     one event as a value: what is known of it, its status, its JSON
logs.py      the edge: a partition as the searches see it
collect.py   the edge: one event, put together from the topics
scanning.py  the edge: events by key or field
letters.py   the edge: dead letters, listed and exported with the input's bytes
following.py the edge: outcomes as they come
"""
