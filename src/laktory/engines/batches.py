"""What a Polars plan gives, batch by batch."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

__all__ = ["batches"]

_WAITING = 2
_LOOK = 0.2


def batches(plan: pl.LazyFrame, rows: int, **kwargs: Any) -> Iterator[pl.DataFrame]:
    """Batches of about so many rows, a few of them computed ahead.

    `LazyFrame.collect_batches` ends as if there were no more rows where a part of Polars gives up. Here that is raised.

    Parameters
    ----------
    kwargs : of `polars.LazyFrame.sink_batches`

    Raises
    ------
    Exception
        What Polars raises.
    """
    ready: queue.Queue[pl.DataFrame | BaseException | None] = queue.Queue(_WAITING)
    stopped = threading.Event()

    def put(item: pl.DataFrame | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return False
        return True

    def compute() -> None:
        try:
            plan.sink_batches(put, chunk_size=rows, **kwargs)
        except BaseException as error:  # noqa: BLE001 - raised where the batches are taken
            put(error)
        else:
            put(None)

    threading.Thread(target=compute, name="batches", daemon=True).start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
