"""The spellings that scripts call `execute` in, brought to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laktory.errors import DefinitionError, UnsupportedError

__all__ = ["frames_and_refresh"]


def frames_and_refresh(
    named_dfs: object, full_refresh: object, refresh: object, reset_mode: object = None, params: object = None
) -> tuple[dict[str, Any], bool]:
    """Named frames, and whether sinks are to be replaced.

    Releases differ in what comes first by position, so a mapping in place of `full_refresh` is taken as `named_dfs`,
    and a text as `refresh`. Nothing else is guessed: taken for a full refresh, it would replace what sinks hold.

    Raises
    ------
    DefinitionError
        If a value is none of those that a parameter takes.
    UnsupportedError
        If it asks for what this version does not have.
    """
    if isinstance(full_refresh, Mapping) and named_dfs is None:
        named_dfs, full_refresh = full_refresh, None
    if isinstance(full_refresh, str) and refresh is None:
        refresh, full_refresh = full_refresh, None
    if reset_mode is not None or params:
        msg = "reset_mode and params are not supported by this version of Laktory; leave them out"
        raise UnsupportedError(msg)
    if full_refresh is not None and not isinstance(full_refresh, bool):
        msg = f"full_refresh={full_refresh!r} is neither True nor False; give arguments by name"
        raise DefinitionError(msg)
    full = bool(full_refresh) or _is_full(refresh)
    if named_dfs is None:
        return {}, full
    if not isinstance(named_dfs, Mapping) or not all(isinstance(name, str) for name in named_dfs):
        msg = "named_dfs is a mapping from names to frames, e.g. {'prices': df}"
        raise DefinitionError(msg)
    missing = [name for name, frame in named_dfs.items() if frame is None]
    if missing:
        msg = f"named_dfs[{missing[0]!r}] is None, expected a frame"
        raise DefinitionError(msg)
    return dict(named_dfs), full


def _is_full(refresh: object) -> bool:
    if refresh is None:
        return False
    asked = refresh.upper() if isinstance(refresh, str) else refresh
    if asked == "RESET":
        msg = "refresh='RESET' is not supported by this version of Laktory; use purge() of the pipeline or of its nodes"
        raise UnsupportedError(msg)
    if asked not in ("INCREMENTAL", "FULL"):
        msg = f"refresh={refresh!r} is not valid; use 'INCREMENTAL' or 'FULL'"
        raise DefinitionError(msg)
    return asked == "FULL"
