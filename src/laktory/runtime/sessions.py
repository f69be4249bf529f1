"""Engine sessions of a run, opened on first need."""

from __future__ import annotations

import importlib
import os
import shutil
import threading
import weakref
from typing import TYPE_CHECKING

from laktory.engines.capabilities import ENGINES
from laktory.runtime.holds import hold, private_folder

if TYPE_CHECKING:
    from pathlib import Path

    from laktory.engines.protocol import Session

__all__ = ["Sessions", "session_type", "standing"]


def session_type(engine: str) -> type[Session]:
    """The class of an engine's sessions, by the value of `dataframe_backend`."""
    module, _, name = ENGINES[engine].entry.partition(":")
    found: type[Session] = getattr(importlib.import_module(module), name)
    return found


class Sessions:
    """One session per engine, and the folder for their temporary files.

    Frames of a session stay readable while this object lives; it closes its sessions when it goes.
    """

    def __init__(self) -> None:
        self.scratch, descriptor = private_folder()
        self._held = [descriptor]
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, _close, self._open, self.scratch, self._held, os.getpid())

    def get(self, engine: str) -> Session:
        """The session of an engine, by the value of `dataframe_backend`, for the calling thread."""
        with self._lock:
            if engine not in self._open:
                self._open[engine] = session_type(engine)(self.scratch)  # type: ignore[call-arg]
            session = self._open[engine]
        session.enter()
        return session

    def in_reach(self, engine: str) -> bool:
        """Whether an engine sees the files of this machine; opens its session only if that has to be asked."""
        return not session_type(engine).may_be_elsewhere() or self.get(engine).in_reach

    def hold(self, folder: Path) -> None:
        """Keep a folder that frames of these sessions read from being removed, by this process or another."""
        descriptor = hold(folder)
        if descriptor is not None:
            self._held.append(descriptor)

    def interrupt(self) -> None:
        """Stop what the engines are doing."""
        for session in list(self._open.values()):
            session.interrupt()

    def abandon(self) -> None:
        """Remove temporary files of sessions that may still be at work; the process is about to end."""
        shutil.rmtree(self.scratch, ignore_errors=True)

    def close(self) -> None:
        """Close the sessions and remove temporary files."""
        self._finalizer()


def _close(sessions: dict[str, Session], scratch: str, held: list[int], process: int) -> None:
    if os.getpid() != process:  # a forked child: all of it is still its parent's
        return
    for session in sessions.values():
        session.close()
    shutil.rmtree(scratch, ignore_errors=True)
    for descriptor in held:
        os.close(descriptor)


_standing: Sessions | None = None
_standing_lock = threading.Lock()


def standing() -> Sessions:
    """Sessions for frames outside any run (``source.read()``), open until the process ends."""
    global _standing  # noqa: PLW0603
    with _standing_lock:
        if _standing is None:
            _standing = Sessions()
        return _standing
