"""Log lines on standard output: time in UTC, ``[laktory]``, message. Secrets are redacted."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar

from laktory.diagnostics.secrets import redact

__all__ = ["current_node", "get_logger"]

current_node: ContextVar[str | None] = ContextVar("laktory_node", default=None)
"""Node whose lines carry its name, set while several nodes run side by side."""

_DATE = "%Y-%m-%d %H:%M:%S"


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        stamp = self.formatTime(record, _DATE)
        message = redact(record.getMessage())
        if record.exc_info:
            message = f"{message}\n{redact(self.formatException(record.exc_info))}"
        if record.levelno != logging.INFO:
            return f"{stamp} [{record.name}] {record.levelname} | {message}"
        node = current_node.get()
        return f"{stamp} [laktory] {node}: {message}" if node else f"{stamp} [laktory] {message}"


class _Stdout(logging.Handler):
    """Writes to the `sys.stdout` of the moment, so that redirection and notebooks work."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stdout.write(self.format(record) + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):  # closed pipe or file: a log line never fails a run
            self.handleError(record)


def get_logger(name: str) -> logging.Logger:
    """A logger of Laktory. Its level is the setting `log_level`.

    Parameters
    ----------
    name : usually ``__name__``
    """
    root = logging.getLogger("laktory")
    if not any(isinstance(handler, _Stdout) for handler in root.handlers):
        from laktory.settings import settings

        handler = _Stdout()
        handler.setFormatter(_Formatter())
        root.addHandler(handler)
        root.setLevel(settings.log_level.upper())
        root.propagate = False
    return logging.getLogger(name if name.partition(".")[0] == "laktory" else f"laktory.{name}")
