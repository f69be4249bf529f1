"""Which variables are visible at one place of a definition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from laktory.errors import DefinitionError

__all__ = ["Pattern", "Scope", "pattern"]

# a repeated group that repeats inside: time grows exponentially with the text
_NESTED_REPEAT = re.compile(r"\((?:[^()\\]|\\.)*(?<!\\)[*+}](?:[^()\\]|\\.)*\)\s*(?:[*+]|\{\d*,)")


class Pattern:
    """A regex variable: its key, and what stands for each match."""

    def __init__(self, key: str, template: Any) -> None:
        self.key = key
        self.template = template

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The key, compiled once for all texts."""
        return pattern(self.key)


_Layer = tuple[Mapping[str, tuple[str, Any]], Sequence[Pattern]]


class Scope:
    """Variables of a mapping and of everything around it, nearest first.

    Attributes
    ----------
    names : name inside ``${{ }}`` → (plain value, scope it is resolved in)
    patterns : regex variables, nearest first
    resolved : what was resolved here already, by folded name, and whether a secret is in it
    """

    __slots__ = ("_fixed", "_layers", "names", "patterns", "resolved")

    def __init__(self, layers: tuple[_Layer, ...], fixed: int, names: Mapping[str, tuple[Any, Scope]]) -> None:
        self._layers = layers
        self._fixed = fixed
        self.names = names
        self.patterns = [item for _, patterns in layers for item in patterns]
        self.resolved: dict[str, tuple[Any, bool]] = {}

    @classmethod
    def start(
        cls,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        parents: Sequence[Mapping[str, Any]] = (),
        *,
        override: bool = False,
    ) -> Scope:
        """The scope around a definition: `parents`, nearest first, then `vars`, which win over all with `override`."""
        given = (_layer(vars),) if vars else ()
        around = tuple(_layer(parent) for parent in parents)
        return cls(given + around, len(given), {}) if override else cls(around + given, 0, {})

    def inner(self, variables: object) -> Scope:
        """The scope inside a mapping with these `variables`; what is no mapping adds nothing."""
        if not isinstance(variables, Mapping) or not variables:
            return self
        layers = (*self._layers[: self._fixed], _layer(variables), *self._layers[self._fixed :])
        return Scope(layers, self._fixed, self.names)

    def named(self, name: str, value: Any) -> Scope:
        """The same scope, `value` known as `name` inside ``${{ }}``."""
        scope = Scope(self._layers, self._fixed, {})
        scope.names = {**self.names, name: (value, scope)}
        return scope

    def find(self, name: str) -> tuple[str, Any] | None:
        """Name as written, and value, of the nearest variable; case does not matter."""
        folded = name.casefold()
        return next((layer[folded] for layer, _ in self._layers if folded in layer), None)

    @property
    def known(self) -> list[str]:
        """Names of all variables, nearest first."""
        return list(dict.fromkeys(name for layer, _ in self._layers for name, _ in layer.values()))


def _layer(variables: Mapping[str, Any]) -> _Layer:
    named = {
        key.casefold(): (key, value) for key, value in variables.items() if isinstance(key, str) and r"\$\{" not in key
    }
    return named, [Pattern(key, value) for key, value in variables.items() if isinstance(key, str) and r"\$\{" in key]


def pattern(text: str) -> re.Pattern[str]:
    """A regex variable's key, compiled; case does not matter.

    Raises
    ------
    DefinitionError
        If it is no regular expression, or one whose time may grow without bound.
    """
    if _NESTED_REPEAT.search(text):
        msg = f"the regex variable {text!r} repeats a group that repeats inside, which can take forever"
        raise DefinitionError(msg)
    try:
        return re.compile(text, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        msg = f"the regex variable {text!r} is no regular expression: {error}"
        raise DefinitionError(msg) from None
