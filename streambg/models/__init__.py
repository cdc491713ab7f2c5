"""Models: what a team plugs in (contract), what it answers (answering), and where it is kept (registry)."""
