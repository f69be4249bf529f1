"""Pydantic's errors as problems in the words of the definition."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path as FilePath
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, Union, get_args, get_origin

import pydantic
from pydantic_core import PydanticCustomError

from laktory.diagnostics import Problem, closest, placed, raise_problems

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from laktory.diagnostics import Marks, Path

__all__ = [
    "as_written",
    "describe",
    "located",
    "models_of",
    "problem_error",
    "problems_error",
    "problems_of",
    "raise_located",
    "shown",
    "unique_spelling",
    "unknown_field",
]

_EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "path_type": "a path",
}


def problem_error(
    message: str, *, valid: Sequence[str] | str = (), hint: str | None = None, key: str = ""
) -> Exception:
    """An error for validators to raise; it becomes a `Problem` with these parts, on `key` below the model if given."""
    context = {"valid": valid, "hint": hint, "key": key, "message": message}
    return PydanticCustomError("problem", "{message}", context)


def problems_error(problems: Sequence[Problem]) -> Exception:
    """As `problem_error`, for several at once; their paths start at the value that is validated."""
    return PydanticCustomError("problems", "{message}", {"problems": problems, "message": problems[0].message})


def unique_spelling(cls: type[pydantic.BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Refuse a field given under two names; move older spellings to the field they became."""
    for name, field in cls.model_fields.items():
        if field.alias and field.alias != name and name in data and field.alias in data:
            raise problem_error(
                f"{name!r} and {field.alias!r} are two names of one field; keep {field.alias!r}", key=name
            )
    for older, name in getattr(cls, "older_spellings", {}).items():
        if isinstance(data.get(name), dict):
            raise problem_error(
                f"{name!r} is a list, found a mapping", hint=f"write {older!r} for a single one", key=name
            )
        if older not in data:
            continue
        if isinstance(data[older], list):
            raise problem_error(
                f"{older!r} is a single one, found a list", hint=f"write {name!r} for a list", key=older
            )
        if data.get(name):
            raise problem_error(f"{older!r} and {name!r} are two spellings of one field; keep {name!r}", key=older)
        data = dict(data)
        value = data.pop(older)
        data[name] = [] if value is None else [value]
    return data


def problems_of(cls: type[pydantic.BaseModel], error: pydantic.ValidationError, data: Any) -> list[Problem]:
    """Every pydantic error as a problem whose path is that of the value as the user wrote it."""
    found: dict[Path, list[Problem]] = {}
    strays: dict[Path, Problem] = {}
    for item in error.errors(include_url=False):
        owner, path, stray = _walk(cls, item["loc"], data)
        if stray is not None:
            strays.setdefault(path, stray)
            continue
        for problem in _problems(owner, path, item):
            same = found.setdefault(problem.path, [])
            if problem not in same:
                same.append(problem)
    if strays:
        # of a field of several kinds: what is wrong within the kind that was meant, else that it is none of them
        told = {path[:end] for path in found for end in range(len(path) + 1)}
        found.update((path, [problem]) for path, problem in strays.items() if path not in told)
    problems = [problem for same in found.values() for problem in same]
    guesses = {(problem.path[:-1], problem.hint) for problem in problems if problem.on_key}
    return [problem for problem in problems if not _is_misspelled(problem, guesses)]


def _is_misspelled(problem: Problem, guesses: Collection[tuple[Path, str | None]]) -> bool:
    """Whether a missing key is there, only written wrong: that is one problem."""
    name = (problem.hint or "").removeprefix("add '").removesuffix("'")
    return problem.message == _missing(name) and (problem.path, f"did you mean {name!r}?") in guesses


def _missing(name: str) -> str:
    return f"field {name!r} is missing"


def _problems(owner: type[pydantic.BaseModel] | None, path: Path, item: Any) -> list[Problem]:
    if item["type"] == "problems":
        return [replace(problem, path=(*path, *problem.path)) for problem in item["ctx"]["problems"]]
    return [_problem(owner, path, item)]


def _problem(owner: type[pydantic.BaseModel] | None, path: Path, item: Any) -> Problem:
    kind, context = item["type"], item.get("ctx", {})
    if path[-1:] == ("[key]",):
        return Problem(f"a key is a text, found {describe(item['input'])}", path[:-1], hint="quote it", on_key=True)
    if kind == "invalid_key":
        key = item["input"]
        return Problem(f"a key is a text, found {describe(key)}", (*path[:-1], key), hint="quote it", on_key=True)
    if kind == "problem":
        key = context["key"]
        return Problem(
            context["message"], (*path, key) if key else path, context["valid"], context["hint"], on_key=bool(key)
        )
    if kind == "extra_forbidden":
        return unknown_field(owner, path)
    if kind == "missing":
        return Problem(_missing(str(path[-1])), path[:-1], hint=f"add {path[-1]!r}")
    if kind in ("literal_error", "enum"):
        valid = _literals(context["expected"])
        return Problem(f"{shown(item['input'])} is not valid here", path, valid, closest(item["input"], valid))
    if kind in _EXPECTED:
        return Problem(f"expected {_EXPECTED[kind]}, found {describe(item['input'])}", path)
    if kind == "value_error":
        return Problem(str(context["error"]), path)
    return Problem(f"{shown(item['input'])} is not valid here", path)


def unknown_field(owner: type[pydantic.BaseModel] | None, path: Path) -> Problem:
    """A key that a class does not have: not yet, not any more, or never had."""
    name = str(path[-1])
    planned: Mapping[str, str] = getattr(owner, "planned", {})
    now = getattr(owner, "renamed", {}).get(name, name)
    if now in planned:
        spelled = repr(name) if now == name else f"{name!r}, now {now!r},"
        message = f"{spelled} is not supported by this version of Laktory: {planned[now]}"
        return Problem(message, path, hint=f"remove {name!r}", on_key=True)
    if now != name:
        return Problem(f"{name!r} is the older spelling of {now!r}", path, hint=f"write {now!r}", on_key=True)
    valid = list(_field_names(owner)) if owner else []
    return Problem(f"unknown field {name!r}", path, valid, closest(name, valid), on_key=True)


def _field_names(owner: type[pydantic.BaseModel]) -> Iterator[str]:
    for name, field in owner.model_fields.items():
        yield field.alias or name
    yield from getattr(owner, "older_spellings", {})


def raise_located(problems: Sequence[Problem], marks: Marks | None, older_spellings: Mapping[str, str]) -> NoReturn:
    """Raise problems whose paths are those of models: they are shown under the spelling that the file uses.

    Raises
    ------
    DefinitionError
        Always.
    """
    raise_problems(located(problems, marks, older_spellings), marks)


def located(problems: Sequence[Problem], marks: Marks | None, older_spellings: Mapping[str, str]) -> list[Problem]:
    """Problems with their positions, under the spelling that the file uses."""
    if marks is None:
        return list(problems)
    spelled = [replace(problem, path=as_written(problem.path, marks, older_spellings)) for problem in problems]
    return [placed(problem, marks) for problem in spelled]


def as_written(path: Path, marks: Marks, older_spellings: Mapping[str, str]) -> Path:
    """The path of a model's value in the file: under the older spelling, or in a list that stands alone."""
    for place, step in enumerate(path):
        before = path[:place]
        for older, name in older_spellings.items():
            root = (*marks.root, *before)
            if step == name and (*root, name) not in marks.by_path and (*root, older) in marks.by_path:
                return as_written((*before, older, *path[place + 2 :]), marks, older_spellings)
        following = path[place + 1 : place + 2]
        if step == "nodes" and before and isinstance(following[:1] and following[0], int):
            alone = (*marks.root, *before, *following)
            if (*marks.root, *before, step) not in marks.by_path and alone in marks.by_path:
                return (*before, *path[place + 1 :])
    return path


def _walk(
    cls: type[pydantic.BaseModel], loc: Sequence[str | int], data: Any
) -> tuple[type[pydantic.BaseModel] | None, Path, Problem | None]:
    """Follow a pydantic location through classes and the user's values; union tags and old spellings drop out.

    Returns
    -------
    class that the last step belongs to, path, and what to say instead when the value is of another kind than the
    member of a union that the location goes through
    """
    path: list[str | int] = []
    owner: type[pydantic.BaseModel] | None = cls
    nested: dict[str, type[pydantic.BaseModel]] = {}
    kinds: Any = None
    skip = False
    last = len(loc) - 1
    for depth, step in enumerate(loc):
        if skip and isinstance(step, int):
            skip = False
            continue
        if isinstance(step, str) and step in nested:
            owner, nested = nested[step], {}
            continue
        if isinstance(step, str) and step.startswith("function-"):
            continue
        if kinds is not None:
            if not _is_meant(str(step), data):
                expected = " or ".join(dict.fromkeys(_in_words(kinds)))
                return owner, tuple(path), Problem(f"expected {expected}, found {describe(data)}", tuple(path))
            kinds = None
            continue
        if isinstance(step, str) and owner is not None:
            spelled = _spelling(owner, step, data)
            skip = spelled != step and spelled in getattr(owner, "older_spellings", {})
            field = _field(owner, step)
            if field is not None:
                classes = {c.__name__: c for c in models_of(field.annotation)}
                nested = classes
                if depth != last:
                    owner = next(iter(classes.values())) if len(classes) == 1 else None
                    kinds = None if classes else _kinds(field.annotation)
            step = spelled  # noqa: PLW2901
        path.append(step)
        data = _child(data, step)
    return owner, tuple(path), None


def _kinds(annotation: Any) -> Any:
    """The members of a field of several kinds, None left out; None where there is only one."""
    members = tuple(member for member in _members(annotation) if member is not type(None))
    return members if len(members) > 1 else None


def _members(annotation: Any) -> Iterator[Any]:
    """What a value may be, unions within unions and what is said about them taken apart."""
    if get_origin(annotation) is Annotated:
        inner = get_args(annotation)[0]
        yield from _members(inner) if get_origin(inner) in (Union, UnionType) else (annotation,)
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    else:
        yield annotation


def _is_meant(tag: str, value: Any) -> bool:
    """Whether a member of a union, by pydantic's name for it, is the one that a value was meant to be."""
    if isinstance(value, dict):
        return tag.startswith("dict[")
    return isinstance(value, (list, tuple)) and tag.startswith("list[")


def _in_words(annotation: Any, *, many: bool = False) -> Iterator[str]:
    """Types as a definition calls them."""
    names: dict[Any, tuple[str, str]] = {
        str: ("a text", "texts"),
        FilePath: ("a text", "texts"),
        bool: ("true or false", "true or false"),
        int: ("a whole number", "whole numbers"),
        float: ("a number", "numbers"),
    }
    for member in annotation if isinstance(annotation, tuple) else (annotation,):
        origin: Any = get_origin(member)
        arguments = get_args(member)
        if origin is Annotated:
            yield from _in_words(arguments[0], many=many)
        elif origin in (list, dict):
            inner = next(_in_words(arguments[-1], many=True), "values")
            what = ("list", "lists") if origin is list else ("mapping", "mappings")
            words = f"{what[many]} of {inner}" if inner != "values" else what[many]
            yield words if many else f"a {words}"
        else:
            yield names.get(member, ("a value", "values"))[many]


def _field(owner: type[pydantic.BaseModel], step: str) -> Any:
    for name, field in owner.model_fields.items():
        if step in (name, field.alias):
            return field
    return None


def _spelling(owner: type[pydantic.BaseModel], step: str, data: Any) -> str:
    if not isinstance(data, dict) or step in data:
        return step
    for older, name in getattr(owner, "older_spellings", {}).items():
        if name == step and older in data:
            return str(older)
    return step


def models_of(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    """Models that a value of an annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from models_of(argument)


def _child(data: Any, step: str | int) -> Any:
    try:
        return data[step]
    except (KeyError, IndexError, TypeError):
        return None


def _literals(expected: str) -> list[str]:
    """``"'a', 'b' or 'c'"`` as its items."""
    tree = ast.parse(f"[{expected.replace(' or ', ', ')}]", mode="eval").body
    return (
        [str(item.value) for item in tree.elts if isinstance(item, ast.Constant)] if isinstance(tree, ast.List) else []
    )


def shown(value: object) -> str:
    """A value in one short line: as it is written, or what it is."""
    text = repr(value) if isinstance(value, (str, int, float, bool)) else describe(value)
    return text if len(text) <= 80 else text[:79] + "…"


def describe(value: object) -> str:
    """A value in the words of a definition."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}" if len(value) <= 60 else "a long text"
    if isinstance(value, (int, float)):
        return f"the number {value!r}"
    kinds: dict[type, str] = {dict: "a mapping", list: "a list", tuple: "a list"}
    return kinds.get(type(value), f"a {type(value).__name__}")
