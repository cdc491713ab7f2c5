"""Labels join the predictions that wait for them: what really happened becomes evidence (docs/design.md, section 8).

Both colors' answers to an event wait in Redis under the label's key (`rows`, `room`, `depositing`, `refill`); labels
are read from the user's topic (`session`), find their rows (`matching`) and are counted (`evidence`) by the `desk`.
"""
