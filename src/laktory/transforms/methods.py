"""A method step: which methods may be called, on what, and what they may give back."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.errors import LaktoryError, StepError
from laktory.models.custom import LaktoryContext
from laktory.models.datasources.base import BaseDataSource
from laktory.transforms.arguments import guard_fragments, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import narwhals as nw

    from laktory.engines.protocol import Session
    from laktory.models.dataframe.dataframemethod import DataFrameMethod

    Frame = nw.LazyFrame[Any]

__all__ = ["call_method", "call_text"]

_PREFIXES = ("collect", "fetch", "from_", "read_", "scan_", "show", "sink_", "to_", "write_")
_DENIED = frozenset(
    {
        "close", "create", "create_view", "deserialize", "execute", "explain", "insert", "insert_into", "inspect",
        "iter_rows", "map", "map_batches", "materialize", "pipe", "pipe_with_schema", "profile", "query", "remote",
        "serialize", "sql", "sql_query", "update_table",
    }
)  # fmt: skip
# methods of a relation of DuckDB take SQL texts: only those that give a relation and read nothing else
_DUCKDB = frozenset(
    {
        "aggregate", "cross", "distinct", "drop", "except_", "filter", "head", "intersect", "join", "limit", "offset",
        "order", "pivot", "project", "rename", "sample", "select", "select_dtypes", "select_types", "set_alias", "sort",
        "union", "union_by_name", "unique", "unnest", "unpivot", "with_columns",
    }
)  # fmt: skip
_GROUPING_HINT = "use 'laktory.groupby_and_agg' with groupby_columns and agg_expressions"
_GROUPING = ("group_by", "groupby", "groupBy", "group_by_dynamic", "rolling")


def call_text(step: DataFrameMethod) -> str:
    """``unique(subset=['symbol', 'created_at'],keep=any)``, for the log."""
    arguments = [_shown(value) for value in step.func_args]
    arguments += [f"{key}={_shown(value)}" for key, value in step.func_kwargs.items()]
    return f"{step.func_name}({','.join(arguments)})"


def _shown(value: Any) -> str:
    return value.description if isinstance(value, BaseDataSource) else str(value)


def call_method(
    step: DataFrameMethod,
    frame: Frame | None,
    session: Session,
    frames: Mapping[str, Frame],
    read: Callable[[BaseDataSource], Frame],
) -> Frame:
    """Call the method a step names on the flowing frame.

    Raises
    ------
    StepError
        If there is no frame or no such method, it is not allowed, its arguments do not fit, it fails, or it
        gives back something that is not a frame.
    """
    if frame is None:
        msg = f"method {step.func_name!r} has no frame to work on: the node has no source, so begin with a SQL step"
        raise StepError(msg)
    native = step.dataframe_api == "NATIVE"
    relation = native and frame.implementation.is_duckdb()
    target = frame.to_native() if native else frame
    engine = session.capabilities.name
    own = None if native else session.methods.get(step.func_name)
    if own is not None:
        function: Callable[..., Any] = partial(own, frame)
    else:
        function = _find(step.func_name, target, f"{engine} frame" if native else "frame", relation=relation)
    args, kwargs = resolve(step, engine, frames, read, native=native)
    if relation:
        guard_fragments(step.func_name, [args, kwargs])
    _refuse_unknown_columns(step.func_name, frame, args, kwargs)
    if _wants_context(function):
        kwargs["laktory_context"] = LaktoryContext(node=step.parent_pipeline_node, pipeline=step.parent_pipeline)
    result = _call(step.func_name, function, args, kwargs)
    return _as_frame(step.func_name, result, session)


def _find(name: str, target: Any, kind: str, *, relation: bool) -> Callable[..., Any]:
    """The method, after the refusals that need only its name."""
    first, _, rest = name.partition(".")
    if not rest:
        _refuse(first, relation=relation)
    found: Any = target
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [item for item in dir(found) if not item.startswith("_")]
            hint = closest(part, public)
            where = kind if found is target else f"namespace {first!r}"
            msg = f"a {where} has no method {part!r}" + (f"; {hint}" if hint else "")
            if found is target and rest:
                msg += "; a namespace must be registered by a module of the pipeline's 'imports'"
            raise StepError(msg) from None
    if not callable(found):
        msg = f"{name!r} is not a method of a {kind}"
        raise StepError(msg)
    return found  # type: ignore[no-any-return]


def _refuse(name: str, *, relation: bool) -> None:
    if name in _GROUPING:
        msg = f"{name!r} gives a grouping, not a frame; {_GROUPING_HINT}"
        raise StepError(msg)
    if name in _DENIED or name.startswith(_PREFIXES):
        msg = f"method {name!r} is not allowed in a step: the run reads, computes and writes, steps only describe"
        raise StepError(msg)
    if relation and name not in _DUCKDB:
        valid = ", ".join(sorted(_DUCKDB))
        hint = closest(name, _DUCKDB)
        msg = f"method {name!r} of a DUCKDB frame is not allowed in a step; {hint or f'valid: {valid}'}"
        raise StepError(msg)


def _refuse_unknown_columns(name: str, frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> None:
    """Some engines rename nothing and say nothing when a column is not there."""
    if name != "rename":
        return
    mapping = args[0] if args else kwargs.get("mapping")
    if not isinstance(mapping, dict):
        return
    columns = frame.collect_schema().names()
    for column in mapping:
        if column not in columns:
            hint = closest(column, columns)
            msg = f"method 'rename': there is no column {column!r}; {hint or 'columns: ' + ', '.join(columns[:20])}"
            raise StepError(msg)


def _wants_context(function: Callable[..., Any]) -> bool:
    try:
        return "laktory_context" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _call(name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled functions have none
        signature = None
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            parameters = [p for p in signature.parameters if p != "laktory_context"]
            hint = next(
                (found for key in kwargs if key not in parameters and (found := closest(key, parameters))), None
            )
            hint = hint or f"parameters: {', '.join(parameters)}"
            msg = f"method {name!r} does not take these arguments: {error}; {hint}"
            raise StepError(msg) from None
    try:
        return function(*args, **kwargs)
    except LaktoryError as error:
        msg = f"method {name!r}: {error}"
        raise StepError(msg) from error
    except Exception as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        msg = f"method {name!r} failed: {first}"
        raise StepError(msg) from error


def _as_frame(name: str, result: Any, session: Session) -> Frame:
    import narwhals as nw

    found = nw.from_native(result, pass_through=True) if not isinstance(result, nw.Series) else result
    if isinstance(found, nw.LazyFrame) and found.implementation.name == session.capabilities.name:
        return found
    if isinstance(found, (nw.DataFrame, nw.LazyFrame)):
        return session.adopt(found)
    kind = "nothing" if result is None else f"a {type(result).__name__}"
    msg = f"method {name!r} gives {kind}, not a frame"
    if type(result).__name__.endswith("GroupBy"):
        msg += f"; {_GROUPING_HINT}"
    raise StepError(msg)
