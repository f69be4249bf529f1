"""`BaseModel`: a declaration that loads from text, reports located problems and resolves variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, TypeVar, cast

import pydantic
from pydantic import ConfigDict, Field, PrivateAttr, WrapValidator
from pydantic._internal._model_construction import ModelMetaclass  # its place since pydantic 2.0

from laktory.diagnostics import raise_problems
from laktory.diagnostics.secrets import redact, register_variables
from laktory.errors import DefinitionError
from laktory.models.problems import problems_of, raise_located, unique_spelling

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import ValidatorFunctionWrapHandler

    from laktory.diagnostics import Marks, Problem

__all__ = ["SPELLINGS", "BaseModel", "OrVariable", "children_of", "has_variable", "is_variable"]

T = TypeVar("T")

_NOT_COPIED = frozenset({"_parent", "_result", "_last_run"})

SPELLINGS = {"source": "sources"}
"""Older spelling → field that it fills as the only item of a list."""


def is_variable(value: object) -> bool:
    """Whether a value is a text that stands for a value to come: ``${vars.x}``, ``${{ … }}``."""
    return isinstance(value, str) and value.startswith("${")


def has_variable(value: object) -> bool:
    """Whether plain values hold a reference anywhere."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(has_variable(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(has_variable(item) for item in value)


def _keep_variable(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return value if is_variable(value) else handler(value)


OrVariable = Annotated[T, WrapValidator(_keep_variable)]
"""An item that may also be written as a variable; whole fields may always be."""


class _Declaration(ModelMetaclass):
    """Turns pydantic's errors into located problems, for top-level construction only.

    Nested models never come through here: pydantic builds them without calling the class.
    """

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        try:
            model = super().__call__(*args, **kwargs)
        except pydantic.ValidationError as error:
            raise_problems(problems_of(cast("type[pydantic.BaseModel]", cls), error, kwargs))
        model._checked(None)
        return model


class BaseModel(pydantic.BaseModel, metaclass=_Declaration):
    """Base of every declaration.

    Unknown keys are refused, assignment re-validates, and any field may hold a variable
    (a text starting with ``${``) until `inject_vars` resolves it.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        validate_by_name=True,
        validate_by_alias=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        defer_build=True,
    )

    planned: ClassVar[Mapping[str, str]] = {}
    """Keys of the vocabulary that this version does not have yet → what is missing."""
    older_spellings: ClassVar[Mapping[str, str]] = {}
    """Input key → field it becomes, as the only item of a list."""

    secretive: ClassVar[frozenset[str]] = frozenset({"variables"})
    """Fields whose entries may be secrets, told by their names."""

    variables: dict[str, Any] = Field(default={}, exclude=True, description="Values that `${vars.NAME}` stands for.")

    _parent: Any = PrivateAttr(default=None)
    _marks: Any = PrivateAttr(default=None)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, data: Any) -> Any:
        return unique_spelling(cls, data) if isinstance(data, dict) else data

    @pydantic.field_validator("*", mode="wrap")
    @classmethod
    def _variables_pass(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return value if is_variable(value) else handler(value)

    def model_post_init(self, context: Any, /) -> None:  # noqa: ARG002
        """Link children to this model; what it names as a secret is hidden from now on."""
        self._adopt()
        for name in self.secretive & self.model_fields_set:
            register_variables(getattr(self, name))

    # ---- loading -----------------------------------------------------------------------------

    @classmethod
    def model_validate(cls, obj: Any, *, vars: Mapping[str, Any] | None = None, **kwargs: Any) -> Self:  # noqa: A002
        """Build from a dict, an instance, YAML or JSON text, an open text file or a path.

        Parameters
        ----------
        obj : dict, instance, str, Path or text file
        vars : variables for include paths (``!use ${vars.env}.yaml``)

        Raises
        ------
        DefinitionError
            With every problem found, each at its place in the file.
        """
        if isinstance(obj, cls):
            return super().model_validate(obj, **kwargs)
        from laktory.loading import load

        document = load(obj, vars=vars)
        return cls._build(document.value, document.marks, **kwargs)

    @classmethod
    def model_validate_yaml(cls, fp: Any, vars: Mapping[str, Any] | None = None) -> Self:  # noqa: A002
        """Build from YAML: an open file or its text. `vars` serve paths of includes."""
        return cls.model_validate(fp, vars=vars)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **kwargs: Any) -> Self:
        """Build from JSON text."""
        text = json_data if isinstance(json_data, str) else bytes(json_data).decode("utf-8-sig")
        return cls.model_validate(text, **kwargs)

    @classmethod
    def model_validate_json_file(cls, fp: Any) -> Self:
        """Build from an open JSON file."""
        return cls.model_validate(fp)

    @classmethod
    def _build(cls, value: Any, marks: Marks | None, **kwargs: Any) -> Self:
        """Validate plain values; problems point into the text they came from."""
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            # the seed shows a pipeline as the single item of a list
            value, marks = value[0], marks.below((0,)) if marks else None
        try:
            model = cls._validated(value, **kwargs)
        except pydantic.ValidationError as error:
            problems = problems_of(cls, error, value)
            raise_located([*problems, *cls._further_problems(value, problems)], marks, SPELLINGS)
        model._checked(marks)
        return model

    @classmethod
    def _validated(cls, value: Any, **kwargs: Any) -> Self:
        """What pydantic makes of plain values; its error is not yet in the words of the definition."""
        return super().model_validate(value, **kwargs)

    @classmethod
    def _further_problems(cls, value: Any, problems: Sequence[Problem]) -> list[Problem]:  # noqa: ARG003
        """What else is wrong with plain values that are refused already, so that all is told at once."""
        return []

    def _checked(self, marks: Marks | None) -> None:
        """Run the checks that look across the whole declaration; keep the positions for later ones."""
        self._marks = marks
        problems = self._problems()
        if problems:
            raise_located(problems, marks, SPELLINGS)

    def _problems(self) -> list[Problem]:
        """Problems that no single field shows. Overridden where there are any."""
        return []

    # ---- saving ------------------------------------------------------------------------------

    def model_dump_yaml(self, **kwargs: Any) -> str:
        """The declaration as YAML text; `kwargs` go to `model_dump`."""
        import yaml

        kwargs.setdefault("mode", "json")
        return yaml.safe_dump(self.model_dump(**kwargs), sort_keys=False, allow_unicode=True)

    def to_plain(self) -> dict[str, Any]:
        """What was set, as plain values under the names it was given, variables included."""
        return {
            field.alias or name: _plain(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if name in self.model_fields_set and not (name == "variables" and not self.variables)
        }

    def __eq__(self, other: object) -> bool:
        """Equal declarations are equal, whatever they belong to and whatever a run left on them."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return redact(super().__repr__())

    def __str__(self) -> str:
        return redact(super().__str__())

    # ---- changing ----------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name not in type(self).model_fields:
            super().__setattr__(name, value)
            return
        before = dict(self.__dict__), set(self.model_fields_set)
        try:
            super().__setattr__(name, value)
        except pydantic.ValidationError as error:
            raise_problems(problems_of(type(self), error, {name: value}))
        self._adopt()
        problems = self._root()._problems()
        if problems:
            self.__dict__.clear()
            self.__dict__.update(before[0])
            self.__pydantic_fields_set__.clear()
            self.__pydantic_fields_set__.update(before[1])
            self._adopt()
            raise_problems(problems)

    def update(self, values: Mapping[str, Any]) -> None:
        """Change in place, deeply: models and dict entries are updated, everything else is replaced."""
        for name, value in values.items():
            current = getattr(self, name, None)
            if isinstance(current, BaseModel) and isinstance(value, dict):
                current.update(value)
            elif isinstance(current, dict) and isinstance(value, dict):
                setattr(self, name, _merged(current, value))
            else:
                setattr(self, name, value)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A declaration of its own: what it belongs to and what a run left on it stay behind."""
        held = self.__pydantic_private__ or {}
        light = {name: None if name in _NOT_COPIED else value for name, value in held.items()}
        object.__setattr__(self, "__pydantic_private__", light)
        try:
            copied = super().__deepcopy__(memo)
        finally:
            object.__setattr__(self, "__pydantic_private__", held)
        copied._adopt()
        return copied

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy whose children point to it. A deep copy shares nothing with the original."""
        copied = super().model_copy(update=update, deep=deep)
        copied._adopt()
        return copied

    # ---- variables ---------------------------------------------------------------------------

    def inject_vars(
        self,
        inplace: bool = False,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        objs: Mapping[str, Any] | None = None,
        *,
        strict: bool = False,
    ) -> Self | None:
        """Resolve ``${vars.x}`` and ``${{ … }}`` in every field that was set, children included.

        Parameters
        ----------
        inplace : change this model and return None, instead of returning a copy
        vars : more variables; the model's own and its parents' come first
        objs : more names for ``${{ … }}``
        strict : an unresolved variable is an error instead of being left as it is

        Raises
        ------
        DefinitionError
            If a variable refers to itself, is unresolved (with `strict`), or its value does not fit the field.
        """
        from laktory.loading import resolve

        parents = [model.variables for model in self._ancestors() if model.variables]
        try:
            plain = resolve(self.to_plain(), vars, strict=strict, objs=objs, parents=parents)
        except DefinitionError as error:
            raise_located(error.problems, self._marks, SPELLINGS)
        resolved = type(self)._build(plain, self._marks)
        if not inplace:
            resolved._parent = self._parent
            return resolved
        for name in resolved.model_fields_set:
            self.__dict__[name] = getattr(resolved, name)
        self._adopt()
        return None

    def inject_vars_into_dump(
        self,
        dump: Any,
        inplace: bool = False,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        objs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Resolve this model's variables in plain values."""
        from laktory.loading import resolve

        scopes = [model.variables for model in (self, *self._ancestors()) if model.variables]
        resolved = resolve(dump, vars, strict=False, objs=objs, parents=scopes)
        if not inplace:
            return resolved
        if isinstance(dump, dict):
            dump.clear()
            dump.update(resolved)
        else:
            dump[:] = resolved
        return None

    def push_vars(self) -> None:
        """Copy this model's variables into every descendant that does not define them itself."""
        for child in children_of(self):
            child.variables = {**self.variables, **child.variables}
            child.push_vars()

    # ---- family ------------------------------------------------------------------------------

    @property
    def parent(self) -> Any:
        """The model this one belongs to, or None."""
        return self._parent

    @parent.setter
    def parent(self, value: Any) -> None:
        self._parent = value

    def _ancestors(self) -> Iterator[BaseModel]:
        """Parents, nearest first."""
        model = self._parent
        while model is not None:
            yield model
            model = model._parent

    def _root(self) -> BaseModel:
        root = self
        for root in self._ancestors():  # noqa: B007
            pass
        return root

    def _adopt(self) -> None:
        for child in children_of(self):
            child._parent = self


def children_of(model: BaseModel) -> Iterator[BaseModel]:
    """Models held directly by a model's fields, lists and dict values walked."""
    for name in type(model).model_fields:
        value = model.__dict__.get(name)
        if isinstance(value, (BaseModel, list, tuple, dict)):
            yield from _models_in(value)


def _models_in(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _models_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _models_in(item)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.to_plain()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _merged(current: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    merged = dict(current)
    for key, value in values.items():
        old = merged.get(key)
        if isinstance(old, BaseModel) and isinstance(value, dict):
            old.update(value)
        elif isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged
