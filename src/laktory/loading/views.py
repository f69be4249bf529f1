"""What ``vars``, ``pipeline`` and ``pipeline_node`` are inside ``${{ }}``: read-only, resolved when looked at."""

from __future__ import annotations

from collections.abc import Mapping, ValuesView
from typing import TYPE_CHECKING, Any, Protocol

from laktory.diagnostics import closest
from laktory.loading.unresolved import UnresolvedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from laktory.loading.scope import Scope

__all__ = ["Variables", "View", "unwrapped"]


class _Resolver(Protocol):
    def variable(self, name: str, scope: Scope, chain: tuple[str, ...]) -> Any: ...

    def value(self, value: Any, scope: Scope, chain: tuple[str, ...]) -> Any: ...


class _Names(Mapping[str, Any]):
    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` where there is none."""
        try:
            return self[key]
        except UnresolvedError as error:
            if error.always:
                raise
            return default

    def __contains__(self, key: object) -> bool:
        missing = object()
        return isinstance(key, str) and self.get(key, missing) is not missing


class Variables(_Names):
    """``vars.NAME`` and ``vars["NAME"]``: the same values as ``${vars.NAME}``."""

    def __init__(self, resolver: _Resolver, scope: Scope, chain: tuple[str, ...]) -> None:
        self._resolver, self._scope, self._chain = resolver, scope, chain

    def __getitem__(self, name: str) -> Any:
        return self._resolver.variable(name, self._scope, self._chain)

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.known)

    def __len__(self) -> int:
        return len(self._scope.known)


class _Unread:
    """A value that has to be asked for by its name."""


class View(_Names):
    """A mapping of the definition."""

    def __init__(self, resolver: _Resolver, value: dict[str, Any], scope: Scope, chain: tuple[str, ...], *, label: str):
        self._resolver, self._scope, self._chain = resolver, scope, chain
        self._value, self._label = value, label

    def __getitem__(self, name: str) -> Any:
        if name not in self._value:
            names = [str(key) for key in self._value]
            msg = f"{self._label!r} has no {name!r}"
            raise UnresolvedError(msg, hint=closest(name, names), valid=names)
        return self._wrapped(self._value[name], f"{self._label}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def values(self) -> ValuesView[Any]:
        """Stand-ins of the right number: reading all values would resolve the expression that asks for them."""
        return dict.fromkeys(self._value, _Unread()).values()

    def _wrapped(self, value: Any, label: str) -> Any:
        if isinstance(value, dict):
            scope = self._scope.inner(value.get("variables"))
            if label.startswith("pipeline.nodes[") and label.endswith("]"):
                scope = scope.named("pipeline_node", value)
            return View(self._resolver, value, scope, self._chain, label=label)
        if isinstance(value, (list, tuple)):
            return [self._wrapped(item, f"{label}[{index}]") for index, item in enumerate(value)]
        return self._resolver.value(value, self._scope, self._entered(label))

    def _entered(self, label: str) -> tuple[str, ...]:
        """The chain with `label` in it, once."""
        if label in self._chain:
            members = [*self._chain[self._chain.index(label) :], label]
            msg = f"values refer to each other in a circle: {' -> '.join(members)}"
            raise UnresolvedError(msg, always=True, key=frozenset(members))
        return (*self._chain, label)

    def unwrapped(self) -> Any:
        """The plain mapping behind the view, resolved."""
        return self._resolver.value(self._value, self._scope, self._entered(self._label))


def unwrapped(value: Any) -> Any:
    """The result of an expression as plain values."""
    if isinstance(value, View):
        return value.unwrapped()
    if isinstance(value, Variables):
        msg = "'vars' is no value; name one of them, as in 'vars.NAME'"
        raise UnresolvedError(msg)
    if isinstance(value, (list, tuple)):
        return type(value)([unwrapped(item) for item in value])
    if isinstance(value, dict):
        return {key: unwrapped(item) for key, item in value.items()}
    return value
