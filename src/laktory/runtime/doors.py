"""What the verbs on models do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from laktory.checks import act
from laktory.engines.capabilities import ENGINES
from laktory.errors import DefinitionError, SinkError, UnsupportedError
from laktory.models.base import SPELLINGS, is_variable
from laktory.models.datasinks import FileDataSink
from laktory.models.pipeline.pipeline import Pipeline
from laktory.models.problems import raise_located
from laktory.paths import url_scheme
from laktory.planning import plan, sink_problems, source_problems
from laktory.planning.checks import definition_problems
from laktory.planning.tables import is_table, table_problems
from laktory.runtime.calls import frames_and_refresh
from laktory.runtime.gate import Gate
from laktory.runtime.ledger import is_there, sink_target
from laktory.runtime.quality import checks_of
from laktory.runtime.reading import read
from laktory.runtime.record import new_run_id
from laktory.runtime.runner import RunOptions, RunOutcome, run
from laktory.runtime.sessions import session_type, standing
from laktory.runtime.tables import catalog_of, define_view, lock_target, write_alone
from laktory.runtime.writing import refuse_foreign, refuse_out_of_reach, write_custom, write_files
from laktory.storage import Locks, discard, exists, open_staging, staging_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from laktory.engines.protocol import Catalog, Session
    from laktory.models.dataquality import DataQualityCheck, DataQualityExpectation
    from laktory.models.datasinks import TableDataSink
    from laktory.models.datasinks.base import BaseDataSink
    from laktory.models.datasources.base import BaseDataSource
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.runtime.node import NodeResult

__all__ = [
    "act_on_check", "check_frame", "drop_table", "engine_words", "execute_node", "execute_pipeline", "make_view",
    "purge_sink", "read_source", "sink_exists", "table_exists", "write_sink",
]  # fmt: skip


def execute_pipeline(
    pipeline: Pipeline,
    *,
    write_sinks: bool,
    full_refresh: bool | None,
    refresh: str | None,
    reset_mode: str | None,
    named_dfs: Mapping[str, Any] | None,
    params: Mapping[str, str] | None,
    selects: Sequence[str] | None,
    use_orchestrator: bool,
    resume: bool,
    threads: int | None,
) -> None:
    """`Pipeline.execute`."""
    if use_orchestrator:
        msg = "use_orchestrator=True: orchestrators are not supported by this version of Laktory"
        raise UnsupportedError(msg)
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        msg = f"threads={threads!r} is not valid; give a whole number from 1 up, or None to choose from the machine"
        raise DefinitionError(msg)
    named, full = frames_and_refresh(named_dfs, full_refresh, refresh, reset_mode, params)
    made = plan(pipeline, selects, write_sinks=write_sinks, named=named)
    options = RunOptions(write_sinks=write_sinks, full_refresh=full, resume=resume, threads=threads, named=named)
    outcome = run(made, options)
    _hand_over(pipeline, outcome)
    outcome.raise_errors()


def execute_node(
    node: PipelineNode,
    *,
    apply_transformer: bool,
    write_sinks: bool,
    full_refresh: bool | None,
    refresh: str | None,
    reset_mode: str | None,
    named_dfs: Mapping[str, Any] | None,
) -> Any:
    """`PipelineNode.execute`: the node alone; what other nodes produced before in this process is read from there."""
    pipeline: Pipeline = node.parent_pipeline or Pipeline(name=node.name, nodes=[node], root_path_=node.root_path_)
    named, full = frames_and_refresh(named_dfs, full_refresh, refresh, reset_mode)
    made = plan(pipeline, [node.name], write_sinks=write_sinks, named=named)
    others = {name: found._result for name, found in pipeline.nodes_dict.items() if name != node.name}
    given = {name: result for name, result in others.items() if result is not None and _still_there(result)}
    options = RunOptions(
        write_sinks=write_sinks,
        full_refresh=full,
        apply_transformer=apply_transformer,
        named=named,
        given=given,
        threads=1,
    )
    outcome = run(made, options)
    _hand_over(pipeline, outcome)
    outcome.raise_errors()
    return node.output_df


def _hand_over(pipeline: Pipeline, outcome: RunOutcome) -> None:
    """What the run produced is reached from the nodes."""
    nodes = pipeline.nodes_dict
    for name in [entry["name"] for entry in outcome.record["nodes"] if entry["name"] in nodes]:
        # a node that failed or was skipped has nothing of this run, and what an earlier one left is not its output
        nodes[name]._result = result = outcome.results.get(name)
        for rule in nodes[name].rules:
            rule._check = None  # of `run_check`, before
        if result is not None and result.quality is not None and not is_variable(nodes[name].expectations):
            # by position: names may hold variables
            for rule, check in zip(nodes[name].expectations, result.quality.checks.values(), strict=False):
                if not is_variable(rule):
                    rule._check = check
    pipeline._last_run = outcome.record


def _still_there(result: NodeResult) -> bool:
    """Whether what a node wrote is still what its output shows; otherwise its sink is read anew."""
    return all(is_there(sink_target(item.sink), item.line) for item in result.written if item.line)


def engine_words(backend: Any) -> type[Session]:
    """The class of an engine's sessions, whose static methods say things in the engine's own words.

    Raises
    ------
    UnsupportedError
        If there is no such engine in this version.
    """
    name = str(getattr(backend, "value", backend)).upper()
    if name not in ENGINES:
        msg = f"there is no backend {name!r}; valid: {', '.join(ENGINES)}"
        raise UnsupportedError(msg)
    return session_type(name)


def read_source(source: BaseDataSource) -> Any:
    """`source.read()`, outside any run."""

    def upstream(name: str, session: Any) -> Any:
        node = source.node  # type: ignore[attr-defined]
        if node.output_df is not None:
            return session.adopt(node.output_df)
        sink = node.primary_sink
        if sink is None:
            msg = f"node {name!r} has not been executed and has no sink to read"
            raise DefinitionError(msg)
        return read(sink.as_source(), session, upstream)

    resolved = source.inject_vars(strict=True)
    assert resolved is not None
    resolved._df = source._df
    imports = source.parent_pipeline.imports if source.parent_pipeline is not None else ()
    problems = list(source_problems(resolved, ENGINES[source.dataframe_backend.value], imports))
    if problems:
        raise_located(problems, resolved._marks, SPELLINGS)
    return read(resolved, standing().get(source.dataframe_backend.value), upstream)


def write_sink(sink: BaseDataSink, df: Any, mode: str | None, *, full_refresh: bool) -> None:
    """`sink.write()`, outside any run."""
    node = sink.parent_pipeline_node
    resolved = sink.inject_vars(strict=True)
    assert resolved is not None
    if df is None and node is not None:
        df = _quarantined(node, resolved) if resolved.is_quarantine else node.output_df
    if df is None:
        msg = "there is nothing to write: give a frame, or execute the node first"
        raise DefinitionError(msg)
    if mode is not None:
        resolved.mode = mode  # type: ignore[assignment]
    imports = sink.parent_pipeline.imports if sink.parent_pipeline is not None else ()
    problems = list(sink_problems(resolved, ENGINES[sink.dataframe_backend.value], imports))
    if problems:
        raise_located(problems, resolved._marks, SPELLINGS)
    session = standing().get(sink.dataframe_backend.value)
    frame = session.adopt(df)
    if is_table(resolved):
        with Locks.acquire([lock_target(resolved)], owner="write", timeout=_lock_timeout()):
            write_alone(resolved, frame, session, replace_all=full_refresh)
        return
    if not isinstance(resolved, FileDataSink) or resolved.custom_writer is not None:
        write_custom(frame, resolved)
        return
    refuse_out_of_reach(resolved, standing())
    target, write_id = sink_target(resolved), new_run_id()
    with Locks.acquire([target], owner=f"write {write_id}", timeout=_lock_timeout()) as locks:
        # no run: the intent record lies with what is staged, where the next one that locks the target finds both
        folder = staging_folder(target)
        write_files(
            [frame],
            [resolved],
            session,
            run_id=write_id,
            replace_all=full_refresh,
            intent=f"{folder}/record.json",
            note={"ledger": None, "root": folder, "entry": {}},
            locks=locks,
            gate=Gate(),
        )


def _quarantined(node: PipelineNode, sink: BaseDataSink) -> Any:
    """Rows of the node's last run as a quarantine sink wants them; None before a run."""
    result = node._result
    if result is None or result.quality is None or result.sessions is None:
        return None
    run_id = node.parent_pipeline._last_run["run_id"]
    return result.quality.for_sink(sink, result.sessions.get(result.engine), run_id, datetime.now(UTC))


def check_frame(rules: Sequence[DataQualityExpectation], df: Any) -> list[DataQualityCheck]:
    """`DataQualityExpectation.run_check` and `PipelineNode.check_expectations`: outcomes, in order."""
    if df is None:
        msg = "there is nothing to judge: give a frame, or execute the node first"
        raise DefinitionError(msg)
    if not rules:
        return []
    session = standing().get(rules[0].dataframe_backend.value)
    pipeline = rules[0].parent_pipeline
    resolved = [rule.inject_vars(strict=True) for rule in rules]

    def upstream(name: str) -> Any:
        node = pipeline.nodes_dict.get(name) if pipeline is not None else None
        if node is None or node.output_df is None:
            msg = f"node {name!r} has not been executed"
            raise DefinitionError(msg)
        return session.adopt(node.output_df)

    return checks_of([rule for rule in resolved if rule is not None], session.adopt(df), session, upstream)


def act_on_check(rule: DataQualityExpectation, node: Any) -> None:
    """`DataQualityExpectation.raise_or_warn`."""
    if rule.check is None:
        msg = f"expectation {rule.name!r} has not been checked"
        raise DefinitionError(msg)
    act(rule, rule.check, getattr(node, "name", node))


def sink_exists(sink: FileDataSink) -> bool:
    """`sink.exists()`."""
    refuse_out_of_reach(sink, standing())
    return exists(sink_target(sink))


def purge_sink(sink: FileDataSink) -> None:
    """`sink.purge()`."""
    refuse_out_of_reach(sink, standing())
    target = sink_target(sink)
    with Locks.acquire([target], owner="purge", timeout=_lock_timeout()):
        if not exists(target):
            return
        refuse_foreign(sink, target, "remove")
        staging = open_staging(target, "purge", extension="old")
        try:
            # out of sight in one step, so that nobody meets a half-deleted table
            Path(target.path).rename(staging.path)
        except OSError as error:
            msg = f"{sink.path!r} cannot be removed: {error.strerror}"
            raise SinkError(msg) from error
        finally:
            discard([staging])


def table_exists(sink: TableDataSink) -> bool:
    """`sink.exists()` of a table or view."""
    return _catalog(sink).look(sink.parts) is not None


def drop_table(sink: TableDataSink) -> None:
    """`sink.purge()` of a table or view."""
    catalog = _catalog(sink)
    with Locks.acquire([lock_target(sink)], owner="purge", timeout=_lock_timeout()):
        catalog.drop(sink.parts)
    place = sink.writer_kwargs.get("path")
    in_reach = standing().in_reach(sink.dataframe_backend.value)
    if isinstance(place, str) and url_scheme(place) is None and in_reach:
        purge_sink(FileDataSink(path=place, format=sink.format, dataframe_backend_=sink.dataframe_backend))


def make_view(sink: TableDataSink, definition: Any) -> None:
    """`sink.write()` of a view."""
    resolved = sink.inject_vars(strict=True)
    assert resolved is not None
    if definition is not None:
        resolved.view_definition = definition
    node, engine = sink.parent_pipeline_node, ENGINES[sink.dataframe_backend.value]
    problems = [*sink_problems(resolved, engine, ()), *definition_problems(resolved, node, engine)]
    if problems:
        raise_located(problems, resolved._marks, SPELLINGS)
    with Locks.acquire([lock_target(resolved)], owner="write", timeout=_lock_timeout()):
        define_view(resolved, node, standing().get(engine.name))


def _catalog(sink: TableDataSink) -> Catalog:
    engine = ENGINES[sink.dataframe_backend.value]
    problems = list(table_problems(sink, engine))
    if problems:
        raise_located(problems, sink._marks, SPELLINGS)
    return catalog_of(standing().get(engine.name))


def _lock_timeout() -> float:
    from laktory.settings import settings

    return settings.lock_timeout
