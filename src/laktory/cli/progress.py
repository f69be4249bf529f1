"""What a run shows on a terminal: a live table, and how every node ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from laktory.cli import console
from laktory.diagnostics.secrets import redact
from laktory.runtime.events import NodeEnded, NodeStarted, RunEnded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from laktory.planning import Plan
    from laktory.runtime.events import Event

__all__ = ["Progress"]

_MAX_LIVE = 15
_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "skipped": "yellow",
    "resumed": "cyan",
    "interrupted": "red",
    "running": "bold",
}


class Progress:
    """Listens to a run. A context manager: the live table is there as long as it is open."""

    def __init__(self, plan: Plan) -> None:
        self._console = Console()
        self._total = len(plan.nodes)
        self._started: dict[str, float] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        self._record: dict[str, Any] | None = None
        self._live = Live(get_renderable=self._table, console=self._console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, NodeStarted):
            self._started[event.node] = time.monotonic()
        elif isinstance(event, NodeEnded):
            self._started.pop(event.node, None)
            self._ended[event.node] = event.outcome
        elif isinstance(event, RunEnded):
            self._record = event.record

    def print_summary(self) -> None:
        """Every node, and how the run ended."""
        if self._record is None:
            return
        table = _empty_table()
        for node in self._record["nodes"]:
            _add(table, node["name"], node["status"], node.get("rows_out"), node.get("seconds"), node.get("bytes"))
        self._console.print(table)
        if any(node.get("checks") for node in self._record["nodes"]):
            self._console.print(_checks(self._record["nodes"]))
        text = Text(redact(console.summary(self._record)), style=_STYLES.get(self._record["status"], ""))
        self._console.print(text, soft_wrap=True)

    def _table(self) -> Table:
        """Called by the thread that refreshes the screen: works on copies."""
        table = _empty_table()
        running, ended = dict(self._started), dict(self._ended)
        now = time.monotonic()
        for name in list(ended)[-max(0, _MAX_LIVE - len(running)) :]:
            _add(
                table,
                name,
                ended[name]["status"],
                ended[name].get("rows_out"),
                ended[name].get("seconds"),
                ended[name].get("bytes"),
            )
        for name, since in running.items():
            _add(table, name, "running", None, now - since, None)
        table.caption = f"{len(ended)} of {console.count(self._total, 'node')}"
        return table


def _empty_table() -> Table:
    table = Table(box=None, pad_edge=False, caption_justify="left")
    table.add_column("node", overflow="fold")
    table.add_column("status")
    for heading in ("rows", "written", "time"):
        table.add_column(heading, justify="right")
    return table


def _checks(nodes: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in console.CHECK_HEADINGS:
        table.add_column(heading, justify="right" if heading in ("failed", "rows", "%") else "left", overflow="fold")
    for *cells, status in console.check_cells(nodes):
        table.add_row(*map(escape, cells), Text(status, style="red" if status == "FAIL" else "green"))
    return table


def _add(table: Table, name: str, status: str, rows: int | None, seconds: float | None, size: int | None) -> None:
    shown = "" if rows is None else f"{rows:,}"
    style = _STYLES.get(status, "")
    table.add_row(escape(redact(name)), Text(status, style=style), shown, console.size(size), console.seconds(seconds))
