"""A method step: which methods may be called, on what, and what they may give back."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem, closest, plain_words
from laktory.errors import LaktoryError, StepError
from laktory.models.custom import LaktoryContext
from laktory.models.datasources.base import BaseDataSource
from laktory.planning.methods import GROUPING_HINT, argument_problem, find_method
from laktory.transforms.arguments import guard_fragments, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import narwhals as nw

    from laktory.engines.protocol import Session
    from laktory.models.dataframe.dataframemethod import DataFrameMethod

    Frame = nw.LazyFrame[Any]

__all__ = ["call_method", "call_text", "refuse_other_than_truth"]

_ROW_ORDER = "no assumptions about row order"
"""What Narwhals says of a method that needs `order_by`."""


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
    target = frame.to_native() if native else frame
    engine = session.capabilities.name
    own = None if native else session.methods.get(step.func_name)
    if own is not None:
        function: Callable[..., Any] = partial(own, frame)
    else:
        kind = f"{engine} frame" if native else "frame"
        function = _find(step.func_name, target, kind, session.capabilities.native_methods if native else None)
    args, kwargs = resolve(step, engine, frames, read, native=native, frame=frame)
    if native and session.capabilities.native_methods is not None:
        guard_fragments(step.func_name, [args, kwargs])
    _refuse_unknown_columns(step.func_name, frame, args, kwargs)
    if step.func_name == "filter" and not native:
        for predicate in args:
            with _failing(step.func_name):
                refuse_other_than_truth(frame, predicate)
    if _wants_context(function):
        kwargs["laktory_context"] = LaktoryContext(node=step.parent_pipeline_node, pipeline=step.parent_pipeline)
    result = _call(step.func_name, function, args, kwargs)
    return _as_frame(step.func_name, result, session)


def _find(name: str, target: Any, kind: str, allowed: frozenset[str] | None) -> Callable[..., Any]:
    found = find_method(name, target, kind, allowed)
    if isinstance(found, Problem):
        raise StepError(_told(found))
    assert found is not None
    return found


def _told(problem: Problem) -> str:
    more = problem.hint or (f"valid: {', '.join(problem.valid)}" if problem.valid else "")
    return f"{problem.message}; {more}" if more else problem.message


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


def refuse_other_than_truth(frame: Frame, predicate: Any) -> None:
    """Some engines keep rows by a number that is not 0 when they push a filter into a scan, and say nothing.

    Raises
    ------
    StepError
        If the predicate is not boolean.
    """
    import narwhals as nw

    # a constant may be of no type yet, and lists of booleans have no names
    if not isinstance(predicate, (nw.Expr, str)):
        return
    for dtype in frame.select(predicate).collect_schema().values():
        if dtype not in (nw.Boolean, nw.Unknown):
            msg = f"a filter keeps rows for which it is true, found values of type {dtype}; compare them with something"
            raise StepError(msg)


def _wants_context(function: Callable[..., Any]) -> bool:
    try:
        return "laktory_context" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _call(name: str, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    problem = argument_problem(name, function, args, kwargs)
    if problem is not None:
        raise StepError(_told(problem))
    with _failing(name):
        return function(*args, **kwargs)


@contextmanager
def _failing(name: str) -> Iterator[None]:
    """What a method raises is a failed step."""
    try:
        yield
    except LaktoryError as error:
        msg = str(error) if str(error).startswith(f"method {name!r}") else f"method {name!r}: {error}"
        raise StepError(msg) from error
    except (Exception, SystemExit) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        first = plain_words(" ".join(lines[: 2 if lines[0].endswith(":") else 1]))
        if isinstance(error, SystemExit):
            first = f"it asks to leave the process, with {error.code!r}"
        if _ROW_ORDER in str(error):
            first = "rows have no order of their own, so none is first or last; give 'order_by', or keep 'any'"
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
        msg += f"; {GROUPING_HINT}"
    raise StepError(msg)
