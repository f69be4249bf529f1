"""Ctrl-C and SIGTERM end a command in order, and within a bounded time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["GRACE", "Terminated", "leave", "terminable"]

GRACE = 2.0
"""Seconds that engines get to stop, once the run record is written."""


class Terminated(KeyboardInterrupt):
    """SIGTERM. It takes the same way out as Ctrl-C."""


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into `Terminated`, raised in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(code: int) -> NoReturn:
    """End with `code` even when an engine does not stop: Python would wait for its thread for ever.

    Raises
    ------
    typer.Exit
        When every thread of the run has ended.
    """
    deadline = time.monotonic() + GRACE
    try:
        for thread in _working():
            thread.join(max(0.0, deadline - time.monotonic()))
    except KeyboardInterrupt:
        deadline = 0.0
    if _working():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


def _working() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("laktory")]
