"""Pydantic's errors as problems in the words of the definition."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import pydantic
from pydantic_core import PydanticCustomError

from laktory.diagnostics import Problem, closest, raise_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from laktory.diagnostics import Marks, Path

__all__ = ["problem_error", "problems_of", "raise_located", "unique_spelling"]

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


def unique_spelling(cls: type[pydantic.BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Refuse a field given under two names; move older spellings to the field they became."""
    for name, field in cls.model_fields.items():
        if field.alias and field.alias != name and name in data and field.alias in data:
            raise problem_error(
                f"{name!r} and {field.alias!r} are two names of one field; keep {field.alias!r}", key=name
            )
    for older, name in getattr(cls, "older_spellings", {}).items():
        if older not in data:
            continue
        if data.get(name):
            raise problem_error(f"{older!r} and {name!r} are two spellings of one field; keep {name!r}", key=older)
        data = dict(data)
        value = data.pop(older)
        data[name] = [] if value is None else [value]
    return data


def problems_of(cls: type[pydantic.BaseModel], error: pydantic.ValidationError, data: Any) -> list[Problem]:
    """Every pydantic error as a problem whose path is that of the value as the user wrote it."""
    problems: list[Problem] = []
    for item in error.errors(include_url=False):
        owner, path = _walk(cls, item["loc"], data)
        problem = _problem(owner, path, item)
        if problem not in problems:
            problems.append(problem)
    return problems


def _problem(owner: type[pydantic.BaseModel] | None, path: Path, item: Any) -> Problem:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "problem":
        key = context["key"]
        return Problem(
            context["message"], (*path, key) if key else path, context["valid"], context["hint"], on_key=bool(key)
        )
    if kind == "extra_forbidden":
        return _unknown(owner, path)
    if kind == "missing":
        return Problem(f"field {path[-1]!r} is missing", path[:-1], hint=f"add {path[-1]!r}")
    if kind in ("literal_error", "enum"):
        valid = _literals(context["expected"])
        return Problem(f"{_show(item['input'])} is not valid here", path, valid, closest(item["input"], valid))
    if kind in _EXPECTED:
        return Problem(f"expected {_EXPECTED[kind]}, found {_describe(item['input'])}", path)
    if kind == "value_error":
        return Problem(str(context["error"]), path)
    return Problem(item["msg"], path)


def _unknown(owner: type[pydantic.BaseModel] | None, path: Path) -> Problem:
    name = str(path[-1])
    planned: dict[str, str] = getattr(owner, "planned", {})
    if name in planned:
        message = f"{name!r} is not supported by this version of Laktory: {planned[name]}"
        return Problem(message, path, hint=f"remove {name!r}", on_key=True)
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
    if marks is not None:
        problems = [replace(problem, path=_as_written(problem.path, marks, older_spellings)) for problem in problems]
    raise_problems(problems, marks)


def _as_written(path: Path, marks: Marks, older_spellings: Mapping[str, str]) -> Path:
    for older, name in older_spellings.items():
        for place, step in enumerate(path):
            before = path[:place]
            if step == name and (*before, name) not in marks.by_path and (*before, older) in marks.by_path:
                return (*before, older, *path[place + 2 :])
    return path


def _walk(
    cls: type[pydantic.BaseModel], loc: Sequence[str | int], data: Any
) -> tuple[type[pydantic.BaseModel] | None, Path]:
    """Follow a pydantic location through classes and the user's values; union tags and old spellings drop out."""
    path: list[str | int] = []
    owner: type[pydantic.BaseModel] | None = cls
    nested: dict[str, type[pydantic.BaseModel]] = {}
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
        if isinstance(step, str) and owner is not None:
            spelled = _spelling(owner, step, data)
            skip = spelled != step and spelled in getattr(owner, "older_spellings", {})
            field = _field(owner, step)
            if field is not None:
                classes = {c.__name__: c for c in _models(field.annotation)}
                nested = classes
                if depth != last:
                    owner = next(iter(classes.values())) if len(classes) == 1 else None
            step = spelled  # noqa: PLW2901
        path.append(step)
        data = _child(data, step)
    return owner, tuple(path)


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


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)


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


def _show(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool)) else _describe(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _describe(value: object) -> str:
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
