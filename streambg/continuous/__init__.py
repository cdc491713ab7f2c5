"""Continuous deployment: a version of the registry becomes a candidate, and the plan decides (docs: that page)."""
