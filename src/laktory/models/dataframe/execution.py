"""Steps applied outside a run: what `execute` of a transformer or a step does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from laktory.models.pipelinechild import PipelineChild

__all__ = ["execute_steps"]


def execute_steps(owner: PipelineChild, steps: Sequence[Any], df: Any, named_dfs: Mapping[str, Any] | None) -> Any:
    """Apply steps to a narwhals or native frame, on the engine the frame belongs to, else on that of `owner`."""
    from laktory.runtime.sessions import standing
    from laktory.transforms import apply

    named = dict(named_dfs or {})
    session = standing().get(_engine(owner, df if df is not None else next(iter(named.values()), None)))
    frames = {key: session.adopt(frame) for key, frame in named.items() if frame is not None}
    flowing = session.adopt(df) if df is not None else None
    return apply(flowing, steps, session=session, frames=frames)


def _engine(owner: PipelineChild, df: Any) -> str:
    from laktory.enums import DataFrameBackends

    try:
        return DataFrameBackends.from_df(df).value
    except (UnsupportedError, TypeError):
        return owner.dataframe_backend.value
