"""A node: source, transformer, sinks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, computed_field, field_validator

from laktory.models.base import SPELLINGS, OrVariable, is_variable
from laktory.models.dataframe.dataframeexpr import DataFrameExpr
from laktory.models.dataframe.dataframetransformer import DataFrameTransformer
from laktory.models.dataquality import DataQualityExpectation
from laktory.models.datasinks import DataSinksUnion
from laktory.models.datasources import DataSourcesUnion, PipelineNodeDataSource
from laktory.models.datasources.file import Place
from laktory.models.pipelinechild import PipelineChild
from laktory.models.problems import problem_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from laktory.models.datasources.base import BaseDataSource

__all__ = ["NameText", "PipelineNode"]

_NAME = re.compile(r"[\w][\w .@{}$|\[\]-]{0,119}", re.UNICODE)


def _name(value: str) -> str:
    if "${" in value:
        return value
    if not _NAME.fullmatch(value) or ".." in value:
        valid = "letters, digits, '_', '-', ' ' and '.', at most 120, beginning with a letter, digit or '_'"
        raise problem_error(f"{value!r} cannot be a name", valid=valid)
    return value


NameText = Annotated[str, AfterValidator(_name)]
"""A name that is safe in paths."""


def _sources(value: Any) -> Any:
    return [] if value is None else value


def _items(value: Any) -> list[Any]:
    """What a field holds, nothing as long as it is a variable."""
    return [] if is_variable(value) else value


class PipelineNode(PipelineChild):
    """Reads its sources, applies its transformer, writes its sinks."""

    older_spellings: ClassVar[Mapping[str, str]] = SPELLINGS
    planned: ClassVar = {
        "dlt_template": "Databricks pipelines",
        "ldp_template": "Databricks pipelines",
    }

    name: NameText = Field(description="Name of the node, unique in the pipeline.")
    sources: Annotated[list[DataSourcesUnion], BeforeValidator(_sources)] = Field(
        default=[], description="Where rows come from; the first is `{df}`. `source:` holds a single one."
    )
    transformer: DataFrameTransformer | None = Field(default=None, description="Steps applied to the source.")
    expectations: Annotated[list[OrVariable[DataQualityExpectation]], BeforeValidator(_sources)] = Field(
        default=[], description="Rules for the rows, checked before they are written."
    )
    sinks: Annotated[list[DataSinksUnion], BeforeValidator(_sources)] = Field(
        default=[], description="Where the result is written; the first is what other runs read."
    )
    primary_keys: list[str] | None = Field(default=None, description="Columns that identify a row.")
    time_column: str | None = Field(default=None, description="Column that orders rows in time (documentation).")
    comment: str | None = Field(default=None, description="What the node is for (documentation).")
    tags: list[str] = Field(default=[], description="Labels to select nodes by.")
    depends_on: list[str] = Field(default=[], description="Nodes that must run before, without being read.")
    execution_task_name_: str | None = Field(
        default=None, alias="execution_task_name", description="Nodes of one name run in one task of an orchestrator."
    )
    root_path_: Place | None = Field(
        default=None, alias="root_path", exclude=True, description="Where the node keeps what it needs between runs."
    )

    expectations_checkpoint_path_: Place | None = Field(
        default=None,
        alias="expectations_checkpoint_path",
        exclude=True,
        description="Where checks of streams keep their place.",
    )

    _result: Any = PrivateAttr(default=None)

    @field_validator("transformer", mode="before")
    @classmethod
    def _steps_alone(cls, value: Any) -> Any:
        return {"nodes": value} if isinstance(value, list) else value

    # ---- what the definition says ------------------------------------------------------------

    @property
    def source(self) -> Any:
        """The first source, or None."""
        return self.sources[0] if self.sources else None

    @source.setter
    def source(self, value: Any) -> None:
        self.sources = [] if value is None else [value]

    @property
    def execution_task_name(self) -> str:
        """Name of the orchestrator task that runs this node."""
        return self.execution_task_name_ or f"node-{self.name}"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def root_path(self) -> Path:
        """Folder for what the node keeps between runs."""
        if self.root_path_ is not None:
            return Path(self.root_path_)
        if self.parent_pipeline is not None:
            return Path(self.parent_pipeline.root_path) / self.name
        from laktory.settings import settings

        return Path(settings.runtime_root) / self.name

    @computed_field  # type: ignore[prop-decorator]
    @property
    def expectations_checkpoint_path(self) -> Path:
        """Folder where checks of streams keep their place."""
        given = self.expectations_checkpoint_path_
        return Path(given) if given is not None else self.root_path / "checkpoints" / "expectations"

    @property
    def has_streaming_source(self) -> bool:
        """Whether a source is read incrementally."""
        return any(not is_variable(source) and source.as_stream is True for source in self.sources)

    @property
    def data_sources(self) -> list[BaseDataSource]:
        """Own sources and those its transformer reads."""
        found: list[BaseDataSource] = [source for source in self.sources if not is_variable(source)]
        if self.transformer is not None and not is_variable(self.transformer):
            found += self.transformer.data_sources
        return found

    @property
    def external_sources(self) -> list[BaseDataSource]:
        """Those of `data_sources` that are no nodes."""
        found: list[BaseDataSource] = [source for source in self.sources if not is_variable(source)]
        if self.transformer is not None and not is_variable(self.transformer):
            found += self.transformer.written_sources
        return [source for source in found if not isinstance(source, PipelineNodeDataSource)]

    @property
    def read_node_names(self) -> list[str]:
        """Nodes that its sources, steps and rules read, each once."""
        names = [s.node_name for s in self.sources if isinstance(s, PipelineNodeDataSource)]
        if self.transformer is not None and not is_variable(self.transformer):
            names += self.transformer.upstream_node_names
        names += [name for rule in self.rules for name in rule.upstream_node_names]
        return list(dict.fromkeys(names))

    @property
    def upstream_node_names(self) -> list[str]:
        """Nodes that must run before this one, each once."""
        names = self.read_node_names
        definitions = (getattr(sink, "view_definition", None) for sink in _items(self.sinks))
        names += [
            name for found in definitions if isinstance(found, DataFrameExpr) for name in found.upstream_node_names
        ]
        return list(dict.fromkeys([*names, *self.depends_on]))

    @property
    def rules(self) -> list[DataQualityExpectation]:
        """The expectations that are no variables."""
        return [rule for rule in _items(self.expectations) if not is_variable(rule)]

    _has_ties: ClassVar = True

    def _ties(self) -> Any:
        return self.name, self.upstream_node_names

    @property
    def output_sinks(self) -> list[Any]:
        """Sinks that receive the output."""
        return [sink for sink in _items(self.sinks) if is_variable(sink) or sink.is_quarantine is not True]

    @property
    def quarantine_sinks(self) -> list[Any]:
        """Sinks that receive the rows in quarantine."""
        return [sink for sink in _items(self.sinks) if not is_variable(sink) and sink.is_quarantine is True]

    @property
    def all_sinks(self) -> list[Any]:
        """Every sink, those of the output first."""
        return [*self.output_sinks, *self.quarantine_sinks]

    @property
    def sinks_count(self) -> int:
        """Number of sinks."""
        return len(self.sinks)

    @property
    def has_sinks(self) -> bool:
        """Whether the node writes anything."""
        return bool(self.sinks)

    @property
    def has_output_sinks(self) -> bool:
        """Whether the node writes its output."""
        return bool(self.output_sinks)

    @property
    def primary_sink(self) -> Any:
        """What other runs read: the first sink that is no quarantine, or None."""
        return next(iter(self.output_sinks), None)

    @property
    def is_view(self) -> bool:
        """Whether a sink is a view: then nothing is computed, and the rows are those of the view."""
        return any(getattr(sink, "table_type", None) == "VIEW" for sink in _items(self.sinks))

    @property
    def ldp_warning_expectations(self) -> dict[str, str]:
        """Rules that a declarative pipeline of Databricks can check, with the action WARN: name → SQL."""
        return self._ldp_expectations("WARN")

    @property
    def ldp_drop_expectations(self) -> dict[str, str]:
        """The same with the actions DROP and QUARANTINE."""
        return self._ldp_expectations("DROP", "QUARANTINE")

    @property
    def ldp_fail_expectations(self) -> dict[str, str]:
        """The same with the action FAIL."""
        return self._ldp_expectations("FAIL")

    @property
    def sdp_expectations(self) -> dict[str, str]:
        """None: open source Spark Declarative Pipelines check nothing."""
        return {}

    sdp_warning_expectations: ClassVar = sdp_expectations
    sdp_drop_expectations: ClassVar = sdp_expectations
    sdp_fail_expectations: ClassVar = sdp_expectations
    dlt_warning_expectations: ClassVar = ldp_warning_expectations
    dlt_drop_expectations: ClassVar = ldp_drop_expectations
    dlt_fail_expectations: ClassVar = ldp_fail_expectations

    def _ldp_expectations(self, *actions: str) -> dict[str, str]:
        return {
            rule.name: rule.expr.to_sql_expr()
            for rule in self.rules
            if rule.is_ldp_compatible and rule.action in actions and rule.expr is not None
        }

    # ---- what the last run produced ----------------------------------------------------------

    @property
    def stage_df(self) -> Any:
        """Frame after source and transformer, before rules took rows out; None before a run."""
        return self._result.stage if self._result else None

    @property
    def quarantine_df(self) -> Any:
        """Rows that rules with the action QUARANTINE took out of the last run: a narwhals LazyFrame with the columns of
        `stage_df`, empty if there are none. None before a run, and without rules.
        """
        return self._result.quarantine if self._result else None

    @property
    def checks(self) -> list[Any]:
        """What the last run found about each rule, None for each before."""
        quality = self._result.quality if self._result else None
        if quality is not None and len(quality.checks) > len(self.rules):  # some are variables
            return list(quality.checks.values())
        return [rule.check for rule in self.rules]

    def check_expectations(self) -> list[Any]:
        """Judge `stage_df` again, act on the outcome, and give it back: a `DataQualityCheck` for each rule.

        Raises
        ------
        DefinitionError
            The node has not run.
        DataQualityCheckFailedError
            A rule with the action FAIL has failed.
        """
        from laktory.runtime.doors import check_frame

        for rule, found in zip(self.rules, check_frame(self.rules, self.stage_df), strict=True):
            rule._check = found
        for rule in self.rules:
            rule.raise_or_warn(self)
        return self.checks

    @property
    def output_df(self) -> Any:
        """What the last run committed or materialised: a narwhals LazyFrame, or None before a run."""
        return self._result.output if self._result else None

    def execute(
        self,
        apply_transformer: bool = True,
        write_sinks: bool = True,
        full_refresh: bool | None = None,
        named_dfs: Mapping[str, Any] | None = None,
        update_tables_metadata: bool = True,
        reset_mode: str | None = None,
        *,
        refresh: str | None = None,
    ) -> Any:
        """Run this node alone; upstream nodes are read from what they produced or from their primary sinks.

        Parameters
        ----------
        apply_transformer : apply the steps
        write_sinks : write the sinks
        full_refresh : replace what the sinks hold, whatever their mode
        named_dfs : more frames by name, for ``{name}``
        update_tables_metadata : accepted for older scripts; files have no table metadata
        reset_mode : None; resetting by truncation is not in this version
        refresh : ``INCREMENTAL`` (default), or ``FULL`` as `full_refresh`

        Returns
        -------
        narwhals.LazyFrame
            `output_df`.

        Raises
        ------
        DefinitionError, RunError
        """
        from laktory.runtime.doors import execute_node

        del update_tables_metadata
        return execute_node(
            self,
            apply_transformer=apply_transformer,
            write_sinks=write_sinks,
            full_refresh=full_refresh,
            refresh=refresh,
            reset_mode=reset_mode,
            named_dfs=named_dfs,
        )

    def purge(self, mode: str | None = None) -> None:
        """Remove what the sinks hold; `mode` as of a sink."""
        for sink in self.sinks:
            sink.purge(mode)
