"""Choosing the class of a mapping from its `type`, else from its keys, before anything else is looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.models.base import is_variable
from laktory.models.problems import describe, problem_error, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["kind_of", "refuse_unknown_kind"]


def kind_of(types: Mapping[str, str], keys: Mapping[str, str]) -> Callable[[Any], str | None]:
    """Discriminator of a union: `types` maps `type` to class name, `keys` maps a telling key to `type`."""

    def pick(value: Any) -> str | None:
        if not isinstance(value, dict):
            return type(value).__name__
        return types.get(_kind(value, keys))

    return pick


def refuse_unknown_kind(
    what: str, types: Mapping[str, str], keys: Mapping[str, str], planned: Mapping[str, str]
) -> Callable[[Any], Any]:
    """Validator that runs before the discriminator, so that it always finds a class."""

    def check(value: Any) -> Any:
        if is_variable(value) or type(value).__name__ in types.values():
            return value
        if not isinstance(value, dict):
            raise problem_error(f"expected a {what}, a mapping, found {describe(value)}")
        kind = _kind(value, keys)
        if kind in types:
            if "type" not in value and (
                rival := next((key for key in keys if key in value and keys[key] != kind), None)
            ):
                first = next(key for key in keys if key in value)
                message = f"{first!r} and {rival!r} make two kinds of {what}; keep one"
                raise problem_error(message, key=rival)
            return value
        if kind in planned:
            message = f"{what} of type {kind!r} is not supported by this version of Laktory: {planned[kind]}"
            raise problem_error(message, valid=list(types), key="type" if "type" in value else "")
        if "type" in value:
            message = f"{shown(value['type'])} is not a type of {what}"
            raise problem_error(message, valid=list(types), hint=closest(value["type"], [*types, *planned]), key="type")
        ways = ", ".join(f"'{key}'" for key in dict.fromkeys(keys))
        guess = next((found for key in value if (found := closest(key, keys))), None)
        raise problem_error(f"cannot tell what kind of {what} this is", valid=f"a key of {ways}, or 'type'", hint=guess)

    return check


def _kind(value: Mapping[Any, Any], keys: Mapping[str, str]) -> str:
    named = value.get("type")
    if isinstance(named, str) and not is_variable(named):
        return named.upper()
    return next((keys[key] for key in keys if key in value), "")
