"""``laktory``, and ``python -m laktory``."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["main"]


def main() -> None:
    """The command line. A signal before or after the command has nothing to tell or to tidy up."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background ignores it
        signal.signal(signal.SIGINT, _end)
    from laktory.cli import app

    try:
        app(prog_name="laktory")
    except SystemExit as end:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - a signal ends the wait for threads of users
        for number in (signal.SIGINT, signal.SIGTERM):  # Python would give up its handlers while it ends
            signal.signal(number, signal.SIG_IGN)
        if end.code == 128 + signal.SIGINT:
            # Python sends itself a SIGINT at its end when the first one came while it made a dataclass
            atexit._run_exitfuncs()  # noqa: SLF001
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
