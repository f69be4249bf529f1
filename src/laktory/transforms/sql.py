"""A SQL step: placeholders become tables, the guard looks at the statement, the engine runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.diagnostics import render
from laktory.errors import StepError
from laktory.expressions.placeholders import bind
from laktory.expressions.statement import names_problem, statement_problems
from laktory.transforms.errors import StatementError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import narwhals as nw

    from laktory.diagnostics import Problem
    from laktory.engines.protocol import Session
    from laktory.expressions.placeholders import Statement

    Frame = nw.LazyFrame[Any]

__all__ = ["located", "run_statement"]


def run_statement(text: str, session: Session, frames: Mapping[str, Frame]) -> Frame:
    """One query over frames by placeholder.

    Raises
    ------
    StatementError
        If the statement is refused, or the engine does.
    """
    from laktory.settings import settings

    files: bool = settings.allow_sql_files
    engine = session.capabilities
    options: dict[str, Any] = {"files": files, "misreads": engine.misreads}
    problems = statement_problems(text, engine.dialect, tuple(frames), **options)
    if problems:
        raise _refused(problems[0])
    statement = bind(text)
    tables = {statement.names[key]: frames[key] for key in statement.names}
    problem = names_problem(
        text, engine.dialect, lambda: {key: frames[key].collect_schema().names() for key in statement.names}, **options
    )
    if problem is not None:
        raise _refused(problem)
    try:
        return session.sql(statement.sql, tables)
    except StepError as error:
        raise _located(statement, session, error) from (error.__cause__ or error)


def _refused(problem: Problem) -> StatementError:
    return StatementError(render(problem), line=problem.line, column=problem.column, hint=problem.hint)


def located(text: str, error: StepError) -> StatementError:
    """What an engine says of a statement, also when it plans it later, at the place of what it names."""
    if isinstance(error, StatementError) and error.line is not None:
        return error
    statement = bind(text)
    line, column = statement.place_named(str(error)) or (None, None)
    message = statement.in_user_words(str(error))
    found = StatementError(message, line=line, column=column, hint=getattr(error, "hint", None))
    found.__cause__ = error.__cause__ or error
    return found


def _located(statement: Statement, session: Session, error: StepError) -> StatementError:
    """The engine's error in the user's words, with the place in the user's text."""
    syntax = session.check_sql(statement.sql)
    if syntax is None:
        return StatementError(statement.in_user_words(str(error)))
    message, line, column = syntax
    if line is not None:
        line, column = statement.place_of(line, column or 1)
    return StatementError(statement.in_user_words(message), line=line, column=column)
