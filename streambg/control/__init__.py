"""The control log: the only truth about who is live (docs/protocol.md, P1-P6)."""
