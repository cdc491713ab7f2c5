"""streambg beside what a user would pick instead: the same work on the same broker. `make bench-peers`."""
