"""Where the parts of a model were written, also after it was changed in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pydantic

from laktory.diagnostics import Mark, Marks, Path, Substitution
from laktory.models.children import child_lists

if TYPE_CHECKING:
    from laktory.models.base import BaseModel

__all__ = ["spread", "written_marks"]


def spread(model: BaseModel, marks: Marks) -> None:
    """Every model of a tree knows its own place, and keeps it when it is moved, or what is around it changes."""
    model._marks = marks
    for name, field in type(model).model_fields.items():
        value = model.__dict__.get(name)
        if isinstance(value, (pydantic.BaseModel, list, tuple, dict)) and value:
            path, single = _key(model, (field.alias, name), name, marks)
            _spread(_item(value, 0) if single else value, path, marks)


def _spread(value: Any, path: Path, marks: Marks) -> None:
    if isinstance(value, pydantic.BaseModel):
        spread(value, marks.below(path))  # type: ignore[arg-type]
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _spread(item, (*path, index), marks)
    elif isinstance(value, dict):
        for key, item in value.items():
            _spread(item, (*path, key), marks)


def _key(model: BaseModel, keys: tuple[str | None, ...], name: str, marks: Marks) -> tuple[Path, bool]:
    """How a field is written, and whether that is the older spelling, which holds the only item of a list."""
    for key in keys:
        if key is not None and (*marks.root, key) in marks.by_path:
            return (key,), False
    for older, newer in model.older_spellings.items():
        if newer == name and (*marks.root, older) in marks.by_path:
            return (older,), True
    if name in child_lists(type(model)) and (*marks.root, 0) in marks.by_path:
        return (), False  # a list alone stands for a mapping with this key
    return (name,), False


def written_marks(model: BaseModel) -> Marks | None:
    """Marks by the paths that values have today. What was made or changed in memory has none."""
    lines: dict[str, list[str]] = {}
    last = None
    for part in (model, *model._children()):
        if part._marks is not None and part._marks.lines is not last:
            last = part._marks.lines
            lines.update(last)
    if last is None:
        return None
    today = _Today(model)
    return Marks(today, lines, substituted=_Substituted(today), in_memory=today.is_new)


class _Today(Mapping[Path, Mark]):
    def __init__(self, model: BaseModel) -> None:
        self._model = model

    def find(self, path: Path) -> tuple[Marks, Path] | None:
        """Marks of the innermost model on the way that was loaded, and the path from there."""
        value: Any = self._model
        marks, start = self._model._marks, 0
        for depth, step in enumerate(path):
            if isinstance(value, pydantic.BaseModel):
                name, older = _field(value, step)  # type: ignore[arg-type]
                if name is None:
                    break
                if name in (value._edited or ()):  # type: ignore[attr-defined]
                    marks = None
                value = value.__dict__.get(name)
                if older or isinstance(step, int):
                    value = _item(value, 0 if older else step)
            else:
                value = _item(value, step)
            if isinstance(value, pydantic.BaseModel):
                marks, start = value._marks, depth + 1  # type: ignore[attr-defined]
        return None if marks is None else (marks, path[start:])

    def is_new(self, path: Path) -> bool:
        """Whether what stands there was made or changed in memory."""
        marks, rest = self.find(path) or (None, ())
        return marks is None or (marks.in_memory is not None and marks.in_memory((*marks.root, *rest)))

    def __getitem__(self, path: Path) -> Mark:
        marks, rest = self.find(path) or _missing(path)
        return marks.by_path[(*marks.root, *rest)]

    def __contains__(self, path: object) -> bool:
        found = self.find(path)  # type: ignore[arg-type]
        return found is not None and (*found[0].root, *found[1]) in found[0].by_path

    def __iter__(self) -> Iterator[Path]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Substituted(Mapping[Path, Substitution | None]):
    def __init__(self, today: _Today) -> None:
        self._today = today

    def __getitem__(self, path: Path) -> Substitution | None:
        marks, rest = self._today.find(path) or _missing(path)
        return marks.substituted[(*marks.root, *rest)]

    def __iter__(self) -> Iterator[Path]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _missing(path: Path) -> Any:
    raise KeyError(path)


def _field(model: BaseModel, step: str | int) -> tuple[str | None, bool]:
    """Field that a step of a path stands for, and whether it is the older spelling of it."""
    cls = type(model)
    if isinstance(step, int):  # a list alone stands for the mapping
        return next(iter(child_lists(cls)), None), False
    if step in cls.model_fields:
        return step, False
    if step in model.older_spellings:
        return model.older_spellings[step], True
    return next((name for name, field in cls.model_fields.items() if field.alias == step), None), False


def _item(value: Any, step: str | int) -> Any:
    try:
        return value[step]
    except (KeyError, IndexError, TypeError):
        return None
