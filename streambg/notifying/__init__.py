"""Telling people: every change of state, verdict and alarm once, to a webhook or a command."""
