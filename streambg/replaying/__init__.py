"""A range of the input scored again, off to the side, and compared with what production published for it."""
