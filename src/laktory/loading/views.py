"""What ``vars``, ``pipeline`` and ``pipeline_node`` are inside ``${{ }}``: read-only, resolved when looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any, Protocol

from laktory.diagnostics import closest
from laktory.loading.unresolved import UnresolvedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from laktory.loading.scope import Scope

__all__ = ["Variables", "View", "unwrapped"]


class _Resolver(Protocol):
    def variable(self, name: str, scope: Scope, chain: tuple[str, ...]) -> Any: ...

    def value(self, value: Any, scope: Scope, chain: tuple[str, ...]) -> Any: ...

    def once(self, key: tuple[int, object], compute: Callable[[], Any]) -> Any: ...


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
        return self._wrapped(self._value[name], f"{self._label}.{name}", self._value, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    def values(self) -> ValuesView[Any]:
        """Stand-ins of the right number: reading all values would resolve the expression that asks for them."""
        return dict.fromkeys(self._value, _Unread()).values()

    def _wrapped(self, value: Any, label: str, holder: Any, key: object) -> Any:
        if isinstance(value, dict):
            scope = self._scope.inner(value.get("variables"))
            if label.startswith("pipeline.nodes[") and label.endswith("]"):
                scope = scope.named("pipeline_node", value)
            return View(self._resolver, value, scope, self._chain, label=label)
        if isinstance(value, (list, tuple)):
            return self._items(value, label)
        if not isinstance(value, str) or "${" not in value:
            return self._resolver.value(value, self._scope, self._entered(label))
        # many may look at it; its own text does not depend on who does
        entered = self._entered(label)
        return self._resolver.once((id(holder), key), lambda: self._resolver.value(value, self._scope, entered))

    def _items(self, value: Sequence[Any], label: str) -> Any:
        def make() -> Items:
            return Items(value, lambda index: self._wrapped(value[index], f"{label}[{index}]", value, index))

        # one for all expressions of the definition; inside another value it has to remember which
        return make() if self._chain else self._resolver.once((id(value), label), make)

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


class Items(list[Any]):
    """A list of the definition; an item is resolved when it is looked at, all of them when the list is used whole."""

    def __init__(self, values: Sequence[Any], read: Callable[[int], Any]) -> None:
        super().__init__(values)
        self._read = read
        self._is_read = False

    def __getitem__(self, index: Any) -> Any:
        if self._is_read:
            return super().__getitem__(index)
        places = range(len(self))[index]
        return self._read(places) if isinstance(places, int) else [self._read(place) for place in places]

    def _whole(self) -> list[Any]:
        if not self._is_read:
            self[:] = [self._read(place) for place in range(len(self))]
            self._is_read = True
        return self

    def __iter__(self) -> Iterator[Any]:
        self._whole()
        return super().__iter__()

    def __radd__(self, other: list[Any]) -> list[Any]:
        return other + list(self)


def _reading(name: str) -> Any:
    method = getattr(list, name)

    def call(self: Items, *args: Any) -> Any:
        return method(self._whole(), *args)

    return call


for _name in ("__add__", "__contains__", "__eq__", "__ge__", "__gt__", "__le__", "__lt__", "__mul__", "__ne__"):
    setattr(Items, _name, _reading(_name))
for _name in ("__repr__", "__reversed__", "__rmul__", "count", "index"):
    setattr(Items, _name, _reading(_name))


def unwrapped(value: Any) -> Any:
    """The result of an expression as plain values."""
    if isinstance(value, View):
        return value.unwrapped()
    if isinstance(value, Variables):
        msg = "'vars' is no value; name one of them, as in 'vars.NAME'"
        raise UnresolvedError(msg)
    if isinstance(value, (list, tuple)):
        items = [unwrapped(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        return {key: unwrapped(item) for key, item in value.items()}
    return value
