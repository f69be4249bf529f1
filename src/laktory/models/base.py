"""`BaseModel`: a declaration that loads from text, reports located problems and resolves variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self, TypeVar, cast

import pydantic
from pydantic import ConfigDict, Field, PrivateAttr, WrapValidator

from laktory.diagnostics import raise_problems
from laktory.diagnostics.secrets import redact, register_variables
from laktory.errors import DefinitionError
from laktory.models.children import Children, child_lists
from laktory.models.places import spread, written_marks
from laktory.models.problems import as_written, problems_of, raise_located, unique_spelling, unknown_field

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(pydantic.BaseModel)  # it has no public name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import ValidatorFunctionWrapHandler

    from laktory.diagnostics import Marks, Problem

__all__ = ["SPELLINGS", "BaseModel", "OrVariable", "children_of", "has_variable", "is_variable"]

T = TypeVar("T")

_LEFT_BY_RUNS = frozenset({"_check", "_result", "_last_run"})
_NOT_COPIED = _LEFT_BY_RUNS | {"_parent"}

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
    renamed: ClassVar[Mapping[str, str]] = {}
    """Key of an earlier release → the key it became."""

    secretive: ClassVar[frozenset[str]] = frozenset({"variables"})
    """Fields whose entries may be secrets, told by their names."""

    variables: dict[str, Any] = Field(default={}, exclude=True, description="Values that `${vars.NAME}` stands for.")

    _parent: Any = PrivateAttr(default=None)
    _marks: Any = PrivateAttr(default=None)
    _edited: Any = PrivateAttr(default=None)

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
        return cls._loaded(obj, vars=vars, **kwargs)

    @classmethod
    def model_validate_yaml(cls, fp: Any, vars: Mapping[str, Any] | None = None) -> Self:  # noqa: A002
        """Build from YAML: an open file or its text. `vars` serve paths of includes."""
        return cls.model_validate(fp, vars=vars)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **kwargs: Any) -> Self:
        """Build from JSON text."""
        text = json_data if isinstance(json_data, str) else bytes(json_data).decode("utf-8-sig")
        return cls._loaded(text, json=True, **kwargs)

    @classmethod
    def model_validate_json_file(cls, fp: Any) -> Self:
        """Build from an open JSON file."""
        return cls._loaded(fp, json=True)

    @classmethod
    def _loaded(
        cls,
        obj: Any,
        *,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        json: bool = False,
        **kwargs: Any,
    ) -> Self:
        from laktory.loading import load

        document = load(obj, vars=vars, json=json).unwrapped
        return cls._build(document.value, document.marks, **kwargs)

    @classmethod
    def _build(cls, value: Any, marks: Marks | None, **kwargs: Any) -> Self:
        """Validate plain values; problems point into the text they came from."""
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
        if marks is not None and marks.lines:
            spread(self, marks)
        problems = self._problems()
        if problems:
            self._refuse(problems)

    def _refuse(self, problems: Sequence[Problem]) -> NoReturn:
        """Raise problems of this model at the places where its parts were written."""
        raise_located(problems, written_marks(self), SPELLINGS)

    def _problems(self) -> list[Problem]:
        """Problems that no single field shows. Overridden where there are any."""
        return []

    def _problems_after(self, part: BaseModel | None, ties: Any) -> list[Problem]:  # noqa: ARG002
        """Problems after a change in `part`, whose ties were these before. Overridden where fewer need a look."""
        return self._problems()

    # ---- saving ------------------------------------------------------------------------------

    def model_dump_yaml(self, **kwargs: Any) -> str:
        """The declaration as YAML text; `kwargs` go to `model_dump`."""
        from laktory.loading.yamltext import dump_yaml

        kwargs.setdefault("mode", "json")
        return dump_yaml(self.model_dump(**kwargs))

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
        if name.startswith("_") or (self._field(name) is None and self._is_settable(name)):
            super().__setattr__(name, value)
        else:
            self._change({name: value}, deep=False)

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            super().__delattr__(name)
            return
        msg = f"{name!r} of a {type(self).__name__} cannot be deleted; assign another value"
        raise DefinitionError(msg)

    def update(self, values: Mapping[str, Any]) -> None:
        """Change in place, deeply: models and dict entries are updated, everything else is replaced.

        Raises
        ------
        DefinitionError
            If a key is no field or a value does not fit. Nothing is changed then.
        """
        self._change(values, deep=True)

    def _change(self, values: Mapping[str, Any], *, deep: bool) -> None:
        """Assign, and check what the assignments touch; the model stays as it was when something is wrong."""
        part = next((model for model in (self, *self._ancestors()) if model._has_ties), None)
        ties = part._ties() if part is not None and part is not self._root() else None
        kept = [
            (model, dict(model.__dict__), set(model.model_fields_set), model._edited)
            for model in (_family(self) if deep else [self])
        ]
        try:
            for name, value in values.items():
                self._assign(name, value, deep=deep)
            if part is None or part is self._root() or part._ties() != ties:
                problems = self._root()._problems_after(part, ties)
                if problems:
                    raise_problems(problems)
        except Exception:
            for model, held, fields_set, edited in kept:
                model.__dict__.clear()
                model.__dict__.update(held)
                object.__setattr__(model, "__pydantic_fields_set__", fields_set)
                model._edited = edited
                model._adopt()
            raise

    def _assign(self, name: str, value: Any, *, deep: bool) -> None:
        name = str(name)
        field = self._field(name)
        current = getattr(self, name, None)
        if deep and isinstance(value, dict) and isinstance(current, BaseModel):
            for key, item in value.items():
                current._assign(key, item, deep=True)
            return
        if field is None and not self._is_settable(name):
            raise_problems([unknown_field(type(self), (name,))])
        if deep and isinstance(value, dict) and isinstance(current, dict):
            value = _merged(current, value)
        if field is None:
            setattr(self, name, value)
            return
        try:
            super().__setattr__(field, value)
        except pydantic.ValidationError as error:
            raise_problems(problems_of(type(self), error, {field: value}))
        self._edited = {*(self._edited or ()), field}
        self._adopt()

    @classmethod
    def _field(cls, name: str) -> str | None:
        """The field that a name or its other spelling stands for."""
        if name in cls.model_fields:
            return name
        return next((field for field, info in cls.model_fields.items() if info.alias == name), None)

    @classmethod
    def _is_settable(cls, name: str) -> bool:
        return getattr(getattr(cls, name, None), "fset", None) is not None

    _has_ties: ClassVar[bool] = False

    def _ties(self) -> Any:
        """What the checks of the whole look at in this part: they are made again only when it changes."""

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

    def __getstate__(self) -> dict[Any, Any]:
        """Without what a run left: engines and their frames belong to this process."""
        state = super().__getstate__()
        held = state["__pydantic_private__"] or {}
        left = {name: None if name in _LEFT_BY_RUNS else value for name, value in held.items()}
        return {**state, "__pydantic_private__": left}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._adopt()

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
        from laktory.loading.scope import Scope
        from laktory.loading.variables import Resolver

        parents = [model.variables for model in self._ancestors() if model.variables]
        resolver = Resolver(strict=strict, objs=objs)
        plain = resolver.resolve(self.to_plain(), Scope.start(vars, parents))
        marks = written_marks(self)
        if resolver.problems:
            raise_located(resolver.problems, marks, SPELLINGS)
        if marks is not None:
            written = {as_written(path, marks, SPELLINGS): how for path, how in resolver.substituted.items()}
            marks = marks.with_substituted(written)
        resolved = type(self)._build(plain, marks)
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

    def resolve_string(
        self,
        text: str,
        vars: Mapping[str, Any] | None = None,  # noqa: A002
        objs: Mapping[str, Any] | None = None,
    ) -> str:
        """A text with this model's variables in it resolved; what is no text is put in as JSON.

        Raises
        ------
        DefinitionError
            If a variable refers to itself. One that is not known stays as it is.
        """
        found = self.inject_vars_into_dump([text], vars=vars, objs=objs)[0]
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)

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
        for name in child_lists(type(self)):
            items = self.__dict__.get(name)
            if isinstance(items, list) and not (isinstance(items, Children) and items.belongs_to(self)):
                self.__dict__[name] = Children(items, self, name)
        for child in children_of(self):
            child._parent = self

    def _children(self) -> Iterator[BaseModel]:
        return children_of(self)


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


def _family(model: BaseModel) -> Iterator[BaseModel]:
    """A model and everything below it."""
    yield model
    for child in children_of(model):
        yield from _family(child)


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
            for name, item in value.items():
                old._assign(name, item, deep=True)
        elif isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merged(old, value)
        else:
            merged[key] = value
    return merged
