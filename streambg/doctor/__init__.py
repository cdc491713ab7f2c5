"""Checks every assumption of the guarantee on the user's own cluster; changes nothing."""
