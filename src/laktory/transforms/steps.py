"""Applying a chain of steps to a frame. Nothing is computed here."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from laktory.errors import LaktoryError, RunError, StepError
from laktory.log import get_logger
from laktory.models.dataframe.dataframeexpr import DataFrameExpr
from laktory.models.dataframe.dataframemethod import DataFrameMethod
from laktory.narwhals_ext.register import register
from laktory.transforms.errors import StatementError
from laktory.transforms.methods import call_method, call_text
from laktory.transforms.sql import located, run_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from logging import Logger

    import narwhals as nw

    from laktory.engines.protocol import Session
    from laktory.models.datasources.base import BaseDataSource

    Frame = nw.LazyFrame[Any]

__all__ = ["apply"]


def apply(
    frame: Frame | None,
    steps: Sequence[DataFrameExpr | DataFrameMethod],
    *,
    session: Session,
    frames: Mapping[str, Frame | None],
    log: Logger | None = None,
    read: Callable[[BaseDataSource], Frame] | None = None,
) -> Frame:
    """Apply steps one after another.

    Parameters
    ----------
    frame : what ``{df}`` is for the first step; None when the node has no source
    steps : SQL and method steps
    session : of the engine the frames belong to
    frames : other frames by placeholder without braces: ``nodes.NAME``, ``sources.NAME``, names of the caller
    log : default: Laktory's
    read : gives the frame of a source written in a method's arguments; default: `source.read()`

    Returns
    -------
    narwhals.LazyFrame

    Raises
    ------
    StepError
        With the number of the step; for SQL a `StatementError` with line and column where known.
    RunError
        A source in a method's arguments cannot be read.
    """
    log = log or get_logger(__name__)
    register()
    log.info("Executing DataFrame Transformer")
    known = {key: value for key, value in frames.items() if value is not None and key != "df"}
    flowing, known = _once_for_all(frame, steps, session, known)
    for position, step in enumerate(steps):
        log.info("Executing DataFrame transformer node %d (%s).", position, type(step).__name__)
        available = known if flowing is None else {"df": flowing, **known}
        text = ""
        try:
            if isinstance(step, DataFrameExpr):
                text = _statement(step, session)
                log.info("DataFrame as \n%s", textwrap.dedent(text).strip())
                flowing = run_statement(text, session, available)
            else:
                log.info("Applying df.%s", call_text(step))
                flowing, available = _once_for_one(step, flowing, session, available)
                flowing = call_method(step, flowing, session, available, read or (lambda source: source.read()))
            # a step that cannot be planned is told by itself, not by the one that computes the frame
            session.schema(flowing)
        except LaktoryError as error:
            failed = error if isinstance(error, RunError) else StepError(str(error))
            if isinstance(step, DataFrameExpr) and isinstance(failed, StepError):
                failed = located(text, failed) if text == step.expr else failed
            failed.path = ("nodes", position, "expr" if isinstance(step, DataFrameExpr) else "func_name")
            if isinstance(failed, StepError):
                failed.step = position
            if len(steps) > 1:
                failed.told = f"step {position} ({type(step).__name__}): {failed}"
            if failed is error:
                raise
            raise failed from (failed.__cause__ or error)
    if flowing is None:
        msg = "there is no frame: the node has neither a source nor a SQL step"
        raise StepError(msg)
    return flowing


def _statement(step: DataFrameExpr, session: Session) -> str:
    """The step's text in the engine's words."""
    text = step.statement(session.capabilities.dialect)
    if isinstance(text, str):
        return text
    msg = f"{text.message}; {text.hint}" if text.hint else text.message
    raise StatementError(msg, line=text.line, column=text.column)


def _once_for_all(
    frame: Frame | None, steps: Sequence[DataFrameExpr | DataFrameMethod], session: Session, known: dict[str, Frame]
) -> tuple[Frame | None, dict[str, Frame]]:
    """Frames that several steps name are computed once for all of them."""
    uses: Counter[int] = Counter()
    for position, step in enumerate(steps):
        named = known if position or frame is None else {"df": frame, **known}
        keys = {"df", *step.references} if isinstance(step, DataFrameMethod) else set(step.references)
        uses.update({id(named[key]) for key in keys if key in named})
    return _once(frame, session, known, uses)


def _once_for_one(
    step: DataFrameMethod, frame: Frame | None, session: Session, available: dict[str, Frame]
) -> tuple[Frame | None, dict[str, Frame]]:
    """A method that takes a frame twice, as itself and as an argument, gets it computed."""
    return _once(
        frame, session, available, Counter(id(available[key]) for key in ["df", *step.references] if key in available)
    )


def _once(
    frame: Frame | None, session: Session, known: dict[str, Frame], uses: Counter[int]
) -> tuple[Frame | None, dict[str, Frame]]:
    made: dict[int, Frame] = {}

    def one(value: Frame) -> Frame:
        if uses[id(value)] < 2:
            return value
        if id(value) not in made:
            made[id(value)] = session.once(value)
        return made[id(value)]

    return None if frame is None else one(frame), {key: one(value) for key, value in known.items()}
