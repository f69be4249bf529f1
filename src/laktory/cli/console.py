"""Everything that is printed. Standard output is the result, standard error what went wrong; secrets are redacted."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import plain_words
from laktory.diagnostics.secrets import redact
from laktory.errors import DefinitionError, LaktoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from laktory.planning import Plan
    from laktory.planning.plans import NodePlan

__all__ = [
    "BROKEN_PIPE",
    "CHECK_HEADINGS",
    "check_cells",
    "checks_table",
    "close_output",
    "count",
    "err",
    "failed_checks",
    "flush",
    "is_terminal",
    "logs_on_stderr",
    "out",
    "out_json",
    "prepare",
    "report",
    "report_stop",
    "seconds",
    "set_log_level",
    "show_frame",
    "show_plan",
    "size",
    "summary",
    "unread_allowed",
]

BROKEN_PIPE = 128 + 13
_MAX_STEP = 120
_LOCATED = re.compile(r"\S[^\n]*:\d+:\d+: ")


def prepare() -> None:
    """Make the streams fit for any text, and the log silent about a reader that went away."""
    logging.raiseExceptions = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def out(text: str) -> None:
    """Lines of the result."""
    sys.stdout.write(redact(text) + "\n")


def err(text: str) -> None:
    """Lines about what went wrong. A closed standard error is nobody's fault."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(redact(text) + "\n")
        sys.stderr.flush()


def out_json(data: Mapping[str, Any]) -> None:
    """One JSON document."""
    out(json.dumps(data, indent=2, default=str, ensure_ascii=False))


@contextlib.contextmanager
def unread_allowed() -> Iterator[None]:
    """What happened is worth telling, and no failure of its own when nobody reads it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()


def flush() -> None:
    """Write what is buffered now, while a failure can still be told."""
    sys.stdout.flush()


def close_output() -> None:
    """Send what is left nowhere, so that Python does not fail again when it exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def is_terminal() -> bool:
    """Whether somebody watches standard output."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def set_log_level(level: str) -> None:
    """Log lines below this level are not shown."""
    from laktory.log import get_logger

    get_logger("laktory").setLevel(level)


@contextlib.contextmanager
def logs_on_stderr() -> Iterator[None]:
    """Log lines, and whatever the user's functions and the programs they start print, leave standard output alone."""
    sys.stdout.flush()
    with contextlib.ExitStack() as stack:
        if _is_own_stream(sys.stdout, 1) and _is_own_stream(sys.stderr, 2):
            result = os.dup(1)
            stack.callback(os.close, result)
            stack.callback(os.dup2, result, 1)
            os.dup2(2, 1)
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        yield


def _is_own_stream(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError):
        return False


def count(number: int, noun: str) -> str:
    """``1 node``, ``2,000 nodes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


# ---- failures --------------------------------------------------------------------------------


def report(error: Exception, *, debug: bool = False) -> int:
    """Tell what went wrong; gives back the exit code."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    if debug or _tracebacks_wanted():
        err("".join(traceback.format_exception(error)).rstrip())
    errors = _leaves(error)
    for item in errors:
        err(_told(item))
    codes = {item.exit_code if isinstance(item, LaktoryError) else 1 for item in errors}
    return codes.pop() if len(codes) == 1 else 1


def report_stop(stop: KeyboardInterrupt) -> int:
    """Tell that the command was stopped; gives back the exit code a shell expects."""
    from laktory.cli.stopping import Terminated

    number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
    err(f"error: stopped by {number.name}; outputs that were not committed are as they were")
    return 128 + number


def _tracebacks_wanted() -> bool:
    try:
        from laktory.settings import settings
    except LaktoryError:
        return False
    return settings.cli_raise_external_exceptions


def _leaves(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for item in error.exceptions for leaf in _leaves(item)]
    return [error]


def _told(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, DefinitionError) and error.problems and _LOCATED.match(text):
        return text
    if not isinstance(error, LaktoryError):
        text = f"{type(error).__name__}: {plain_words(text)}"
        if not isinstance(error, OSError):
            text += "\n  this looks like a fault of Laktory; --debug shows where it comes from"
        text = str(LaktoryError(text))
    return f"error: {text}"


# ---- results ---------------------------------------------------------------------------------


def show_plan(plan: Plan) -> None:
    """The nodes in the order they run."""
    out(f"Pipeline {plan.pipeline.name}: {count(len(plan.nodes), 'node')}")
    width = len(str(len(plan.nodes)))
    for number, node in enumerate(plan.nodes, start=1):
        out("\n".join(_node_lines(f"{number:>{width}}. ", node)))


def _node_lines(number: str, node: NodePlan) -> Iterator[str]:
    indent = " " * len(number)
    yield f"{number}{node.name}  {node.engine}  {node.how}"
    yield f"{indent}why     {node.why}"
    if node.implicit:
        yield f"{indent}note    not selected: runs because a selected node reads it and it has no sink"
    for read in node.reads:
        details = [part for part in (read.format, f"from {read.via}" if read.via else "") if part]
        yield f"{indent}reads   {read.label} ← {read.what}" + (f" ({', '.join(details)})" if details else "")
    for step in node.steps:
        yield f"{indent}step    {step if len(step) <= _MAX_STEP else step[:_MAX_STEP] + '…'}"
    for rule in node.rules:
        yield f"{indent}rule    {rule if len(rule) <= _MAX_STEP else rule[:_MAX_STEP] + '…'}"
    for write in node.writes:
        yield f"{indent}writes  {write.what} ({', '.join(part for part in (write.format, write.mode) if part)})"


def show_frame(frame: Any, limit: int) -> None:
    """Rows as a table."""
    import polars as pl

    rows = frame.collect("polars").to_native()
    width = os.get_terminal_size().columns if is_terminal() else -1
    with pl.Config(
        tbl_rows=limit, tbl_cols=-1, tbl_width_chars=width, fmt_str_lengths=60, tbl_hide_dataframe_shape=True
    ):
        out(str(rows))
    out(count(rows.height, "row") if rows.height < limit else f"the first {count(limit, 'row')}")


CHECK_HEADINGS = ("node", "rule", "action", "failed", "rows", "%", "tolerance", "status")


def check_cells(nodes: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """What rules found, as of the entries of nodes in a run record: the cells under `CHECK_HEADINGS`."""
    for node in nodes:
        for check in node.get("checks", ()):
            fails, rate = check["fails"], check["rate"]
            counted = ("", "") if fails is None else (f"{fails:,}", f"{rate:.2%}"[:-1])
            limit = f"fail above {check['fail_above']}" if "fail_above" in check else check.get("tolerance", "")
            names = redact(node["name"]), redact(check["name"]), check["action"]
            yield (*names, counted[0], f"{check['rows']:,}", counted[1], limit, check["status"])


def checks_table(nodes: Iterable[Mapping[str, Any]]) -> str:
    """The same as aligned text; empty without rules."""
    cells = list(check_cells(nodes))
    if not cells:
        return ""
    lines = [CHECK_HEADINGS, *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(CHECK_HEADINGS))]
    right = {3, 4, 5}
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def failed_checks(record: Mapping[str, Any]) -> list[str]:
    """Rules whose status is FAIL, in words."""
    found = []
    for node in record["nodes"]:
        for check in node.get("checks", ()):
            if check["status"] == "FAIL":
                counted = "" if check["fails"] is None else f" ({check['fails']:,} of {check['rows']:,} rows)"
                found.append(f"{check['name']!r} of node {node['name']!r}{counted}")
    return found


def summary(record: Mapping[str, Any]) -> str:
    """How a run ended, in one line."""
    statuses = [node["status"] for node in record["nodes"]]
    parts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)]
    return (
        f"Pipeline {record['pipeline']} {record['status']} in {seconds(record['seconds'])}: "
        f"{count(len(statuses), 'node')} ({', '.join(parts)}), run {record['run_id']}"
    )


def seconds(value: float | None) -> str:
    """A duration as people read it."""
    return "" if value is None else f"{value:.1f} s" if value < 60 else f"{value // 60:.0f} min {value % 60:.0f} s"


def size(value: int | None) -> str:
    """Bytes as people read them."""
    if not value:
        return ""
    number = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
