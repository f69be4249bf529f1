"""Ctrl-C and SIGTERM end a command in order, and within a bounded time."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["GRACE", "LIMIT", "Terminated", "leave", "stoppable"]

LIMIT = 2.5
"""Seconds after a signal that the process ends, whatever is still at work: as after ``kill -9``, commits are whole."""

GRACE = 1.0
"""Seconds of them that engines get to stop, once the run record is written."""


class Terminated(KeyboardInterrupt):
    """SIGTERM. It takes the same way out as Ctrl-C."""


@contextmanager
def stoppable() -> Iterator[list[KeyboardInterrupt]]:
    """Raise `KeyboardInterrupt` or `Terminated` in the main thread at the first signal; another one changes nothing.

    A thread looks at the clock from then on: the main one may be in a library that lets no signal through. What was
    raised is in the list, too: a library may have caught it.
    """
    stops: list[KeyboardInterrupt] = []
    if threading.current_thread() is not threading.main_thread():
        yield stops
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        if not stops:
            stops.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
            raise stops[0]

    try:
        told, tell = os.pipe()
    except OSError:  # no more files can be opened: the command is going to say so
        yield stops
        return
    os.set_blocking(tell, False)
    woken = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    heard = {signal.SIGTERM, signal.SIGINT}
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background
        heard.remove(signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in heard}
    threading.Thread(target=_end_in_time, args=(told,), name="signals", daemon=True).start()
    try:
        yield stops
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(tell)


def _end_in_time(told: int) -> None:
    """End the process `LIMIT` seconds after the first signal, unless the command has ended before."""
    number = 0
    while number not in (signal.SIGINT, signal.SIGTERM):
        if not (read := os.read(told, 1)):
            os.close(told)
            return
        number = read[0]
    deadline = time.monotonic() + LIMIT
    while (left := deadline - time.monotonic()) > 0:
        if select.select([told], [], [], left)[0] and not os.read(told, 64):
            os.close(told)
            return
    os._exit(128 + number)


def leave(code: int) -> NoReturn:
    """End with `code` even when an engine does not stop: Python would wait for its thread for ever.

    Raises
    ------
    typer.Exit
        When every thread has ended.
    """
    deadline = time.monotonic() + GRACE
    for thread in _working():
        thread.join(max(0.0, deadline - time.monotonic()))
    if _working():
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    raise typer.Exit(code)


def _working() -> list[threading.Thread]:
    mine = (threading.main_thread(), threading.current_thread())
    return [thread for thread in threading.enumerate() if thread not in mine and not thread.daemon]
