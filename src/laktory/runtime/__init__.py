"""Moves data now: runs a plan."""
