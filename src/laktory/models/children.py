"""Lists of models inside a model: what is added later is read as the field reads it, and belongs to the model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self, get_args, get_origin

import pydantic

from laktory.diagnostics import raise_problems
from laktory.models.problems import models_of, problems_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Children", "child_lists"]


@cache
def child_lists(cls: type[pydantic.BaseModel]) -> tuple[str, ...]:
    """Fields of a class that are lists of models."""
    return tuple(
        name
        for name, field in cls.model_fields.items()
        if any(next(models_of(item), None) for item in _lists(field.annotation))
    )


def _lists(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is list:
        yield annotation
        return
    if get_origin(annotation) is not dict:
        for argument in get_args(annotation):
            yield from _lists(argument)


class Children(list[Any]):
    """The list in a field of a model."""

    def __init__(self, items: Iterable[Any], owner: Any, field: str) -> None:
        super().__init__(items)
        self._owner, self._field = owner, field

    def belongs_to(self, model: Any) -> bool:
        """Whether this is the list of that very model, not of one it is a copy of."""
        return self._owner is model

    def _read(self, items: Iterable[Any]) -> list[Any]:
        """New items as models that belong to the owner.

        Raises
        ------
        DefinitionError
            If one of them is not what the field holds.
        """
        given = list(items)
        cls = type(self._owner)
        try:
            read = list(_validated(self._owner, self._field, given))
        except pydantic.ValidationError as error:
            # they will stand behind what is there
            problems = problems_of(cls, error, {self._field: given})
            raise_problems([replace(problem, path=self._moved(problem.path)) for problem in problems])
        for item in read:
            if hasattr(item, "_parent"):
                item._parent = self._owner
        return read

    def _moved(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        if len(path) > 1 and isinstance(path[1], int):
            return (path[0], path[1] + len(self), *path[2:])
        return path

    def append(self, item: Any) -> None:
        """Add a model, or what can be read as one."""
        super().append(self._read([item])[0])

    def extend(self, items: Iterable[Any]) -> None:
        """Add several."""
        super().extend(self._read(items))

    def insert(self, index: Any, item: Any) -> None:
        """Add one before the item at `index`."""
        super().insert(index, self._read([item])[0])

    def __iadd__(self, items: Iterable[Any]) -> Self:  # type: ignore[misc]
        self.extend(items)
        return self

    def __setitem__(self, index: Any, item: Any) -> None:
        read = self._read(item if isinstance(index, slice) else [item])
        super().__setitem__(index, read if isinstance(index, slice) else read[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)  # the copy of the owner makes its own


def _validated(owner: Any, field: str, items: list[Any]) -> Any:
    """`items` as a field reads them, without touching the owner."""
    cls: type[pydantic.BaseModel] = type(owner)
    shadow = cls.__new__(cls)
    parts = {"__dict__": {**owner.__dict__, field: []}, "__pydantic_fields_set__": set()}
    for name, value in {**parts, "__pydantic_extra__": None, "__pydantic_private__": None}.items():
        object.__setattr__(shadow, name, value)
    cls.__pydantic_validator__.validate_assignment(shadow, field, items)
    return shadow.__dict__[field]
