"""A pipeline's processes as children of one process: labelled logs, restarts, one Ctrl-C; none outlives its parent."""
