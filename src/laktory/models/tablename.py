"""Names of tables: one to three parts, of catalog, schema and table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from laktory.models.pipelinechild import PipelineChild
from laktory.models.problems import problem_error

__all__ = ["TableNamed", "full_name_of"]

_POINT = re.compile(r"\.(?![^{}]*\})")
"""A point, unless it belongs to a variable: ``${vars.name}``."""


def full_name_of(parts: Sequence[str]) -> str:
    """The parts of a name as one text."""
    return ".".join(parts)


class TableNamed(PipelineChild):
    """What has the name of a table."""

    catalog_name: str | None = Field(default=None, description="Catalog of the table. Default: the session's.")
    schema_name: str | None = Field(default=None, description="Schema (database) of the table. Default: the session's.")
    table_name: str = Field(
        description="Name of the table. With points, `catalog.schema.table` or `schema.table`, its parts count "
        "instead of `catalog_name` and `schema_name`."
    )

    @model_validator(mode="after")
    def _known_parts(self) -> Self:
        parts = _POINT.split(self.table_name)
        if len(parts) > 3:
            message = f"{self.table_name!r} has {len(parts)} parts; the name of a table has at most three"
            raise problem_error(message, hint="write 'catalog.schema.table'", key="table_name")
        for part in parts:
            _check(part, self.table_name, "table_name")
        for field in ("catalog_name", "schema_name"):
            value = getattr(self, field)
            if value is None:
                continue
            _check(value, value, field)
            if len(_POINT.split(value)) > 1:
                message = f"{field!r} is one part of a name, found {value!r}"
                raise problem_error(message, hint="write each part into its own field", key=field)
        if len(parts) > 1 and "${" not in self.table_name:
            found = dict(zip(("table_name", "schema_name", "catalog_name"), reversed(parts), strict=False))
            self.__dict__.update(found)
            self.__pydantic_fields_set__.update(found)
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the name that are given, the table last."""
        own = _POINT.split(self.table_name)
        return (*filter(None, (self.catalog_name, self.schema_name)[: 3 - len(own)]), *own)

    @property
    def full_name(self) -> str:
        """The parts of the name with points between them."""
        return full_name_of(self.parts)

    @property
    def description(self) -> str:
        """The full name."""
        return self.full_name


def _check(part: str, name: str, field: str) -> None:
    if not part.strip():
        raise problem_error(f"{name!r} has an empty part", hint="remove the point, or name the part", key=field)
    if not part.isprintable():
        raise problem_error(f"{name!r} holds a control character", key=field)
