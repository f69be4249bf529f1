"""What all sinks share."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, computed_field, model_validator

from laktory.errors import DefinitionError, UnsupportedError
from laktory.models.base import is_variable
from laktory.models.custom import CustomWriter
from laktory.models.datasources.file import Place
from laktory.models.pipelinechild import PipelineChild
from laktory.models.problems import problem_error
from laktory.models.readerwritermethod import ReaderWriterMethod

__all__ = ["BaseDataSink"]

_PLANNED_MODES = {
    "MERGE": "merging changes into a table",
    "UPDATE": "merging what a stream has changed into a table",
}


def _mode(value: Any) -> Any:
    if not isinstance(value, str) or is_variable(value):
        return value
    value = value.upper()
    if value in _PLANNED_MODES:
        message = f"mode {value!r} is not supported by this version of Laktory: {_PLANNED_MODES[value]}"
        raise problem_error(message, valid=["OVERWRITE", "APPEND", "IGNORE", "ERROR", "COMPLETE"])
    return value


class BaseDataSink(PipelineChild):
    """A place rows go to. What is written is staged first and becomes visible in one step."""

    secretive: ClassVar = frozenset({"variables", "writer_kwargs"})
    renamed: ClassVar = {"writer_options": "writer_kwargs", "checkpoint_location": "checkpoint_path"}
    planned: ClassVar = {
        "merge_cdc_options": "merging changes into a table",
        "metadata": "table metadata",
        "schema": "creating a sink from a schema",
        "schema_definition": "creating a sink from a schema",
        "as_stream": "streaming writes",
        "reset_mode": "resetting a sink",
        "shared": "sinks shared by several nodes",
        "databricks_quality_monitor": "Databricks quality monitors",
        "databricks_data_profiling_config": "Databricks data profiling",
    }

    mode: Annotated[
        Literal["OVERWRITE", "APPEND", "IGNORE", "ERROR", "ERRORIFEXISTS", "COMPLETE"] | None, BeforeValidator(_mode)
    ] = Field(
        default=None,
        description="OVERWRITE (default) replaces, APPEND adds, IGNORE leaves what exists, ERROR refuses if it exists; "
        "of a stream APPEND (default) adds, COMPLETE replaces by the aggregate of all rows so far.",
    )
    is_quarantine: bool = Field(
        default=False, description="Receive the rows that rules with the action QUARANTINE have taken out."
    )
    details: bool = Field(
        default=False,
        description="Of a quarantine: add the columns `_failed_expectations`, `_run_id` and `_quarantined_at`.",
    )
    writer_kwargs: dict[str, Any] = Field(default={}, description="Keyword arguments of the engine's writer.")
    writer_methods: list[ReaderWriterMethod] = Field(default=[], description="Methods called on the writer.")
    checkpoint_path_: Place | None = Field(
        default=None,
        alias="checkpoint_path",
        exclude=True,
        description="Where a stream keeps its place; that of a node's first sink counts. "
        "Default: `checkpoints/` in the root path of the node.",
    )
    custom_writer: CustomWriter | None = Field(
        default=None, description="Function that writes instead of the engine; it cannot be staged."
    )

    @model_validator(mode="after")
    def _writer_or_mode(self) -> BaseDataSink:
        if self.custom_writer is not None and self.mode is not None:
            raise problem_error("'custom_writer' and 'mode' exclude each other", hint="remove 'mode'", key="mode")
        return self

    @model_validator(mode="after")
    def _details_of_quarantine(self) -> BaseDataSink:
        if self.details is True and self.is_quarantine is False:
            raise problem_error("'details' are of rows in quarantine", hint="add 'is_quarantine: true'", key="details")
        return self

    @property
    def write_mode(self) -> str:
        """The mode in force: by default OVERWRITE, of a stream APPEND; `ERRORIFEXISTS` as `ERROR`."""
        node = self.parent_pipeline_node
        streams = node is not None and node.has_streaming_source
        default = "APPEND" if streams else "OVERWRITE"
        return {None: default, "ERRORIFEXISTS": "ERROR"}.get(self.mode, self.mode or default)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def checkpoint_path(self) -> Path | None:
        """Folder where a stream keeps its place; None without node."""
        if self.checkpoint_path_ is not None:
            return Path(self.checkpoint_path_)
        node = self.parent_pipeline_node
        if node is None:
            return None
        digest = hashlib.sha1(str(getattr(self, "description", "")).encode(), usedforsecurity=False).hexdigest()
        return Path(node.root_path) / "checkpoints" / f"sink-{uuid.UUID(digest[:32])}"

    def _ldp_expectations(self, kind: str) -> dict[str, str]:
        node = self.parent_pipeline_node
        found: dict[str, str] = {} if node is None or self.is_quarantine else getattr(node, f"ldp_{kind}_expectations")
        return found

    @property
    def ldp_warning_expectations(self) -> dict[str, str]:
        """As of the node; nothing for a quarantine."""
        return self._ldp_expectations("warning")

    @property
    def ldp_drop_expectations(self) -> dict[str, str]:
        """As of the node; nothing for a quarantine."""
        return self._ldp_expectations("drop")

    @property
    def ldp_fail_expectations(self) -> dict[str, str]:
        """As of the node; nothing for a quarantine."""
        return self._ldp_expectations("fail")

    dlt_warning_expectations: ClassVar = ldp_warning_expectations
    dlt_drop_expectations: ClassVar = ldp_drop_expectations
    dlt_fail_expectations: ClassVar = ldp_fail_expectations

    @property
    def description(self) -> str:
        """What a log line or a plan calls this sink."""
        return type(self).__name__

    def purge(self, mode: str | None = None) -> None:
        """Remove what the sink holds; nothing where there is no place.

        Parameters
        ----------
        mode : how: ``DROP`` (default)

        Raises
        ------
        UnsupportedError
            For another mode.
        """
        if mode is not None and mode.upper() != "DROP":
            msg = f"purging with mode {mode!r} is not supported by this version of Laktory; leave it out"
            raise UnsupportedError(msg)

    def write(
        self,
        df: Any = None,
        mode: str | None = None,
        full_refresh: bool | str | None = None,
        *,
        view_definition: None = None,
    ) -> None:
        """Write a frame, narwhals or native: staged, then committed in one step.

        Parameters
        ----------
        df : frame to write; default: the output, or the quarantine, of the node this sink belongs to
        mode : instead of the sink's own
        full_refresh : replace what the sink holds, whatever the mode; a text is taken as `mode`, which some releases
            have in its place
        view_definition : None; files have no views

        Raises
        ------
        SinkError
            If it cannot be written; what stood there still stands.
        """
        from laktory.runtime.doors import write_sink

        if view_definition is not None:
            msg = "view_definition: a file is not a view; leave it out"
            raise UnsupportedError(msg)
        if isinstance(full_refresh, str) and mode is None:
            mode, full_refresh = full_refresh, None
        if full_refresh is not None and not isinstance(full_refresh, bool):
            msg = f"full_refresh={full_refresh!r} is neither True nor False; give arguments by name"
            raise DefinitionError(msg)
        write_sink(self, df, mode, full_refresh=bool(full_refresh))
