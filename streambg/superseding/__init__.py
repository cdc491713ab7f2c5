"""`streambg supersede`: publish again what another color had answered, for an exact range (docs/protocol.md, P36).

plan.py      which ranges are meant, by whose deployment, and where its answers stand. Pure
measure.py   what it would change, read from the topics
command.py   the command, and how far the publishers have come with it
"""
