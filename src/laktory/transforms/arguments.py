"""Arguments of a method step: references and sources become frames, code becomes expressions, the rest stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.errors import ExpressionError, StepError
from laktory.expressions.python import evaluate
from laktory.expressions.scopes import looks_like_code, scope
from laktory.expressions.statement import fragment_problems
from laktory.models.dataframe.dataframemethod import reference
from laktory.models.datasources.base import BaseDataSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import narwhals as nw

    from laktory.models.dataframe.dataframemethod import DataFrameMethod

    Frame = nw.LazyFrame[Any]

__all__ = ["guard_fragments", "resolve"]


def resolve(
    step: DataFrameMethod,
    engine: str,
    frames: Mapping[str, Frame],
    read: Callable[[BaseDataSource], Frame],
    *,
    native: bool,
    frame: Frame | None = None,
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments a step's method is called with.

    Parameters
    ----------
    frame : the flowing one, for expressions in the arguments that ask for types

    Raises
    ------
    StepError
        If a reference names no frame, or an expression cannot be read.
    """
    api = "NATIVE" if native else "NARWHALS"
    names = scope(api, engine, frame)

    def value_of(value: Any, where: str) -> Any:
        if isinstance(value, BaseDataSource):
            frame = read(value)
            return frame.to_native() if native else frame
        if isinstance(value, str):
            key = reference(value)
            if key is not None:
                named = _frame(key, frames)
                return named.to_native() if native else named
            return _evaluated(value, where, names) if looks_like_code(value, api, engine) else value
        if isinstance(value, (list, tuple)):
            return [value_of(item, f"{where}[{position}]") for position, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: value_of(item, f"{where}[{key!r}]") for key, item in value.items()}
        return value

    args = [value_of(value, f"func_args[{position}]") for position, value in enumerate(step.func_args)]
    kwargs = {key: value_of(value, f"func_kwargs[{key!r}]") for key, value in step.func_kwargs.items()}
    return args, kwargs


def _frame(key: str, frames: Mapping[str, Frame]) -> Frame:
    if key in frames:
        return frames[key]
    known = [f"{{{name}}}" for name in frames]
    hint = closest(f"{{{key}}}", known)
    msg = f"nothing is named {{{key}}} here; {hint or 'available: ' + (', '.join(known) or 'no frame')}"
    raise StepError(msg)


def _evaluated(text: str, where: str, names: Mapping[str, object]) -> Any:
    try:
        return evaluate(text, names)
    except ExpressionError as error:
        msg = f"{where}, {text!r}: {error}"
        raise StepError(msg) from error


def guard_fragments(name: str, value: Any) -> None:
    """Refuse texts for an engine's method that hold a query or read files.

    Raises
    ------
    StepError
        For the first one.
    """
    if isinstance(value, str):
        problems = fragment_problems(value)
        if problems:
            hint = f"; {problems[0].hint}" if problems[0].hint else ""
            msg = f"method {name!r}, argument {value!r}: {problems[0].message}{hint}"
            raise StepError(msg)
    elif isinstance(value, (list, tuple)):
        for item in value:
            guard_fragments(name, item)
    elif isinstance(value, dict):
        for item in [*value.keys(), *value.values()]:
            guard_fragments(name, item)
