"""What every part of a pipeline inherits from the part above it: dataframe backend and API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, computed_field

from laktory.diagnostics import closest
from laktory.engines.capabilities import ENGINES
from laktory.enums import DataFrameBackends
from laktory.models.base import BaseModel, is_variable
from laktory.models.problems import problem_error, shown

__all__ = ["PipelineChild", "Upper"]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) and not is_variable(value) else value


Upper = BeforeValidator(_upper)
"""Accept a name in any case; it is kept in upper case."""


def _known_backend(value: Any) -> Any:
    if value is None or (isinstance(value, DataFrameBackends) and value.value in ENGINES):
        return value
    if isinstance(value, str) and value.upper() in ENGINES:
        return value.upper()
    valid = list(ENGINES)
    raise problem_error(f"{shown(value)} is not a dataframe backend", valid=valid, hint=closest(value, valid))


Backend = Annotated[DataFrameBackends | None, BeforeValidator(_known_backend)]
Api = Annotated[Literal["NARWHALS", "NATIVE"] | None, Upper]


class PipelineChild(BaseModel):
    """A part of a pipeline. Own backend and API → those of the parent → the settings."""

    dataframe_backend_: Backend = Field(
        default=None,
        alias="dataframe_backend",
        exclude=True,
        description="Dataframe engine. Default: that of the parent, else the setting `dataframe_backend`.",
    )
    dataframe_api_: Api = Field(
        default=None,
        alias="dataframe_api",
        exclude=True,
        description="What methods work on: Narwhals frames or the engine's own. Default: as the parent.",
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dataframe_backend(self) -> DataFrameBackends:
        """Dataframe engine in force here."""
        found = self._inherited("dataframe_backend_")
        if found is not None:
            return found if is_variable(found) else DataFrameBackends(found)
        from laktory.settings import settings

        return DataFrameBackends(settings.dataframe_backend.upper())

    @dataframe_backend.setter
    def dataframe_backend(self, value: Any) -> None:
        self.dataframe_backend_ = value

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dataframe_api(self) -> str:
        """`NARWHALS` or `NATIVE`, in force here."""
        found = self._inherited("dataframe_api_")
        if found is not None:
            return str(found)
        from laktory.settings import settings

        return settings.dataframe_api.upper()

    @dataframe_api.setter
    def dataframe_api(self, value: Any) -> None:
        self.dataframe_api_ = value

    def _inherited(self, name: str) -> Any:
        model: Any = self
        while model is not None:
            value = getattr(model, name, None)
            if value is not None:
                return value
            model = model._parent
        return None

    @property
    def parent_pipeline(self) -> Any:
        """The pipeline this part belongs to, or None."""
        from laktory.models.pipeline.pipeline import Pipeline

        return next((model for model in self._ancestors() if isinstance(model, Pipeline)), None)

    @property
    def parent_pipeline_node(self) -> Any:
        """The node this part belongs to, or None."""
        from laktory.models.pipeline.pipelinenode import PipelineNode

        return next((model for model in self._ancestors() if isinstance(model, PipelineNode)), None)
