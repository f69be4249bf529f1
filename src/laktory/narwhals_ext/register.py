"""Namespaces on Narwhals frames and expressions: Laktory's own, and those users register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from laktory.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "register",
    "register_anyframe_namespace",
    "register_dataframe_namespace",
    "register_expr_namespace",
    "register_lazyframe_namespace",
]

C = TypeVar("C", bound=type)


class _Accessor:
    """Descriptor that makes the namespace on first use and keeps it on the object."""

    def __init__(self, name: str, namespace: type) -> None:
        self._name = name
        self._namespace = namespace

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self._namespace
        made = self._namespace(instance)
        # no data descriptor: the attribute of the object is found first from now on
        setattr(instance, self._name, made)
        return made


def _register(name: str, *owners: str) -> Callable[[C], C]:
    if not name.isidentifier() or name.startswith("_"):
        msg = f"{name!r} cannot be the name of a namespace; use a public Python identifier"
        raise DefinitionError(msg)

    def decorate(namespace: C) -> C:
        import narwhals

        for owner in owners:
            cls = getattr(narwhals, owner)
            if name in dir(cls) and not isinstance(cls.__dict__.get(name), _Accessor):
                msg = f"{name!r} is already a member of {owner}; choose another name for the namespace"
                raise DefinitionError(msg)
        for owner in owners:
            setattr(getattr(narwhals, owner), name, _Accessor(name, namespace))
        return namespace

    return decorate


def register_anyframe_namespace(name: str) -> Callable[[C], C]:
    """Class decorator: make a class available as ``frame.NAME`` on Narwhals DataFrame and LazyFrame.

    The class receives the frame; it is returned unchanged. In a step: ``func_name: NAME.method``.

    Raises
    ------
    DefinitionError
        If the name is not a public identifier or is taken by a member of the frame.
    """
    return _register(name, "DataFrame", "LazyFrame")


def register_dataframe_namespace(name: str) -> Callable[[C], C]:
    """As `register_anyframe_namespace`, on DataFrame only."""
    return _register(name, "DataFrame")


def register_lazyframe_namespace(name: str) -> Callable[[C], C]:
    """As `register_anyframe_namespace`, on LazyFrame only."""
    return _register(name, "LazyFrame")


def register_expr_namespace(name: str) -> Callable[[C], C]:
    """As `register_anyframe_namespace`, on Expr."""
    return _register(name, "Expr")


def register() -> None:
    """Make the ``laktory`` namespace available, once, unless the setting `register_nw_extensions` is off."""
    import narwhals

    from laktory.settings import settings

    if not settings.register_nw_extensions or hasattr(narwhals, "laktory"):
        return
    from laktory.narwhals_ext.dataframe import LaktoryFrame
    from laktory.narwhals_ext.expr import LaktoryExpr
    from laktory.narwhals_ext.functions import LaktoryFunctions

    register_anyframe_namespace("laktory")(LaktoryFrame)
    register_expr_namespace("laktory")(LaktoryExpr)
    narwhals.laktory = LaktoryFunctions()  # type: ignore[attr-defined]
