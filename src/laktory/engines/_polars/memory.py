"""When Polars moves data to disk."""

from __future__ import annotations

import os

import polars as pl

__all__ = ["leave_room"]

_SHARE = "POLARS_OOC_MEMORY_BUDGET_FRACTION"
_OWN = (_SHARE, "POLARS_OOC_MEMORY_BUDGET_MB")


def leave_room() -> None:
    """Let sorts, groups and windows go to disk while there is memory left for readers, writers and Python.

    By itself Polars waits until they hold most of what the machine or container has, and is then killed. What the
    variables of Polars say is kept.
    """
    if not any(name in os.environ for name in _OWN):
        os.environ[_SHARE] = "0.4"
        pl.Config.reload_env_vars()
