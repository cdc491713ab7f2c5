"""The demo: from an empty machine to the audit's word, on real data, with real servers and processes."""
