"""Keeps commits out once a run is stopped."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from laktory.errors import RunInterrupted

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Gate"]


class Gate:
    """Nodes commit inside it. Closing waits for commits under way; later ones raise `RunInterrupted`.

    An engine may go on after an interrupt, but what it computes is then never made visible, so that the
    run may give its locks back.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self.check()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def check(self) -> None:
        """Refuse to begin what a stopped run no longer does.

        Raises
        ------
        RunInterrupted
            If it is closed.
        """
        if self._closed:
            msg = "the run was stopped"
            raise RunInterrupted(msg)

    def close(self) -> None:
        """Let nothing in any more and wait until all are out; Ctrl-C comes through only then."""
        self._closed = True
        stopped: KeyboardInterrupt | None = None
        while True:
            try:
                with self._changed:
                    self._changed.wait_for(lambda: not self._inside)
                break
            except KeyboardInterrupt as error:
                stopped = error
        if stopped is not None:
            raise stopped
