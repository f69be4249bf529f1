"""What a method step names and is given: which methods may be called, and everything wrong that needs no data."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem, closest, place_in
from laktory.errors import LaktoryError
from laktory.expressions.python import evaluate, parse
from laktory.expressions.scopes import looks_like_code, scope
from laktory.expressions.statement import fragment_problems
from laktory.models.dataframe.dataframemethod import reference
from laktory.models.problems import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from laktory.diagnostics import Path
    from laktory.engines.capabilities import Capabilities
    from laktory.models.dataframe.dataframemethod import DataFrameMethod

__all__ = ["GROUPING_HINT", "argument_problem", "find_method", "method_problems"]

_PREFIXES = ("collect", "fetch", "from_", "read_", "scan_", "show", "sink_", "to_", "write_")
_DENIED = frozenset(
    {
        "close", "create", "create_view", "deserialize", "execute", "explain", "insert", "insert_into", "inspect",
        "iter_rows", "map", "map_batches", "materialize", "pipe", "pipe_with_schema", "profile", "query", "remote",
        "serialize", "sql", "sql_query", "update_table",
    }
)  # fmt: skip
GROUPING_HINT = "use 'laktory.groupby_and_agg' with groupby_columns and agg_expressions"
_GROUPING = frozenset({"group_by", "groupby", "groupBy", "group_by_dynamic", "rolling"})
_OTHER_API = {
    "pl": "write nw.…, or set 'dataframe_api: NATIVE'",
    "nw": "write pl.…, or set 'dataframe_api: NARWHALS'",
    "F": "write nw.…",
}
"""Library that an expression begins with, though the step is not of its API → what to do."""
_IMPORTS_HINT = "a namespace must be registered by a module of the pipeline's 'imports'"


def method_problems(
    step: DataFrameMethod, engine: Capabilities, known: Collection[str], *, complete: bool
) -> Iterator[Problem]:
    """What keeps a method step from being called; paths start at the step.

    Parameters
    ----------
    known : placeholders that stand for frames, without braces
    complete : all modules that may register a namespace are imported; otherwise what is not found is no problem yet
    """
    native = step.dataframe_api == "NATIVE"
    api = "NATIVE" if native else "NARWHALS"
    kind = f"{engine.name} frame" if native else "frame"
    allowed = engine.native_methods if native else None
    function = find_method(step.func_name, _frame_class(engine, native=native), kind, allowed)
    if not native and step.func_name in engine.lacks:
        yield Problem(f"the {engine.name} backend has no method {step.func_name!r}", ("func_name",), hint="use SQL")
    elif isinstance(function, Problem):
        if complete or _is_refused(step.func_name, allowed):
            yield replace(function, path=("func_name",))
    elif function is not None:
        problem = argument_problem(step.func_name, function, [None, *step.func_args], step.func_kwargs)
        if problem is not None:
            path = _place_of(problem, step)
            yield replace(problem, path=path, on_key=len(path) > 1)
        elif "." not in step.func_name:
            yield from _number_problems(step, function)
    for path, text in _texts(("func_args",), step.func_args):
        yield from _text_problems(path, text, api, engine, known, complete=complete)
    for path, text in _texts(("func_kwargs",), step.func_kwargs):
        yield from _text_problems(path, text, api, engine, known, complete=complete)
    if step.func_name == "laktory.groupby_and_agg" and complete:
        yield from _aggregation_problems(step)


def find_method(
    name: str, frame: Any, kind: str, allowed: frozenset[str] | None
) -> Callable[..., Any] | Problem | None:
    """The method of a frame, or of the class of one; a problem if there is none or steps may not call it.

    Parameters
    ----------
    name : ``method`` or ``namespace.method``
    frame : None if nothing can be looked up: then only the name is judged
    kind : of the frame, in words
    allowed : the only methods of such a frame that steps may call, None for all but those that compute or write
    """
    first, _, rest = name.partition(".")
    if not rest and (problem := _refusal(first, kind, allowed)) is not None:
        return problem
    found = frame
    for part in name.split(".") if frame is not None else ():
        try:
            found = getattr(found, part)
        except AttributeError:
            public = [item for item in dir(found) if not item.startswith(("_", *_PREFIXES)) and item not in _DENIED]
            hint = closest(part, public) or (_IMPORTS_HINT if found is frame and rest else None)
            where = f"a {kind}" if found is frame else f"namespace {first!r}"
            return Problem(f"{where} has no method {part!r}", hint=hint)
    if found is not None and not callable(found):
        return Problem(f"{name!r} is not a method of a {kind}")
    return found  # type: ignore[no-any-return]


def argument_problem(
    name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Problem | None:
    """Whether a method takes arguments of this number and these names."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # compiled functions have none
        return None
    if "laktory_context" in signature.parameters:
        kwargs = {**kwargs, "laktory_context": None}
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = [p for p in signature.parameters if p not in ("laktory_context", "self")]
        hint = next((found for key in kwargs if key not in parameters and (found := closest(key, parameters))), None)
        return Problem(f"method {name!r} does not take these arguments: {error}", valid=parameters, hint=hint)
    return None


def _number_problems(step: DataFrameMethod, function: Callable[..., Any]) -> Iterator[Problem]:
    """Counts of rows that are none: engines differ in what they make of them, all rows among it."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[1:]
    except (TypeError, ValueError):
        return
    given: list[tuple[Path, str, Any]] = [
        (("func_args", index), parameter.name, value)
        for index, (parameter, value) in enumerate(zip(parameters, step.func_args, strict=False))
    ]
    given += [(("func_kwargs", key), key, value) for key, value in step.func_kwargs.items()]
    counts = {parameter.name for parameter in parameters if parameter.name == "n" and parameter.annotation == "int"}
    for path, name, value in given:
        if name in counts and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            message = f"{name!r} of method {step.func_name!r} is a number of rows, found {describe(value)}"
            yield Problem(message, path, valid="a whole number, 0 or more")


def _refusal(name: str, kind: str, allowed: frozenset[str] | None) -> Problem | None:
    if name in _GROUPING:
        return Problem(f"{name!r} gives a grouping, not a frame", hint=GROUPING_HINT)
    if name in _DENIED or name.startswith(_PREFIXES):
        why = "the run reads, computes and writes, steps only describe"
        return Problem(f"method {name!r} is not allowed in a step: {why}")
    if allowed is not None and name not in allowed:
        return Problem(
            f"method {name!r} of a {kind} is not allowed in a step", (), sorted(allowed), closest(name, allowed)
        )
    return None


def _is_refused(name: str, allowed: frozenset[str] | None) -> bool:
    return "." not in name and _refusal(name, "", allowed) is not None


def _frame_class(engine: Capabilities, *, native: bool) -> Any:
    """The class whose methods a step calls, None if the engine has no such class to look at."""
    if not native:
        import narwhals

        import laktory.narwhals_ext  # noqa: F401 - registers the namespace

        return narwhals.LazyFrame
    if engine.native_frame is None:
        return None
    module, _, name = engine.native_frame.partition(":")
    return getattr(import_module(module), name)


def _place_of(problem: Problem, step: DataFrameMethod) -> Path:
    """The argument at fault where it is one that nobody knows, else the method."""
    unknown = next((key for key in step.func_kwargs if f"unexpected keyword argument {key!r}" in problem.message), None)
    return ("func_kwargs", unknown) if unknown is not None else ("func_name",)


def _texts(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _texts((*path, index), item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts((*path, key), item)


def _text_problems(
    path: Path, text: str, api: str, engine: Capabilities, known: Collection[str], *, complete: bool
) -> Iterator[Problem]:
    key = reference(text)
    if key is not None:
        if key not in known:
            braced = [f"{{{name}}}" for name in known]
            yield Problem(f"nothing is named {{{key}}} here", path, braced, closest(f"{{{key}}}", braced))
    elif looks_like_code(text, api, engine.name):
        try:
            if complete and not (api == "NATIVE" and engine.native_words_need_session):
                evaluate(text, scope(api, engine.name))
            else:
                parse(text)
        except LaktoryError as error:
            line, column = place_in(text, getattr(error, "offset", None))
            foreign = re.match(r"unknown name '(\w+)'", str(error))
            yield Problem(
                str(error), path, hint=_OTHER_API.get(foreign[1]) if foreign else None, line=line, column=column
            )
    elif api == "NATIVE" and engine.native_methods is not None:
        for problem in fragment_problems(text)[:1]:
            yield Problem(problem.message, path, hint=problem.hint)


def _aggregation_problems(step: DataFrameMethod) -> Iterator[Problem]:
    """Its expressions may be SQL, which only the method itself reads."""
    from laktory.narwhals_ext.dataframe import as_aggregation

    path: Path = ("func_kwargs", "agg_expressions")
    given = step.func_kwargs.get("agg_expressions")
    if given is None and len(step.func_args) > 1:
        path, given = ("func_args", 1), step.func_args[1]
    for index, item in enumerate(given if isinstance(given, (list, tuple)) else [given]):
        if item is None or (isinstance(item, str) and looks_like_code(item)):
            continue  # judged as every text is
        try:
            as_aggregation(item)
        except LaktoryError as error:
            yield Problem(str(error), (*path, index) if isinstance(given, (list, tuple)) else path)
