"""The rules of a node in a run: which rows stay, which go to quarantine, and whether the node may go on.

Rows that failed a rule are kept in a file of the run, from which its quarantine sinks are written. What passed is
judged again when it is written: a filter costs less than writing the whole frame twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from laktory.checks import Failed, Rows, act, check_of, is_fatal, judge
from laktory.diagnostics.secrets import redact
from laktory.errors import DataQualityCheckFailedError, RunError, SourceError, StepError
from laktory.log import get_logger
from laktory.models.dataquality import DataQualityCheck
from laktory.runtime.writing import scratch_output, stage_scratch, sync_scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import narwhals as nw

    from laktory.engines.identity import SeenFiles
    from laktory.engines.protocol import FileRead, Session
    from laktory.models.dataquality import DataQualityExpectation
    from laktory.models.datasinks.base import BaseDataSink
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.runtime.record import RunFolder
    from laktory.runtime.sessions import Sessions

    Frame = nw.LazyFrame[Any]

__all__ = ["Judged", "Quality", "checks_of", "judge_node", "refuse_lost_rows"]

_log = get_logger(__name__)


@dataclass(slots=True)
class Quality:
    """What the rules of a node found.

    Attributes
    ----------
    rules : rules of the node
    checks : outcome of each, by name
    rows, moved, dropped : rows of the stage frame, and of these in quarantine and dropped
    read : file of the rows that failed, None without rules of type ROW
    failed : the same as a frame, where the run keeps no files
    """

    rules: Sequence[DataQualityExpectation]
    checks: dict[str, DataQualityCheck]
    rows: int
    moved: int
    dropped: int
    read: FileRead | None = None
    failed: Frame | None = None

    @property
    def kept(self) -> int:
        """Rows that the output must have."""
        return self.rows - self.moved - self.dropped

    @property
    def of_rows(self) -> bool:
        """Whether a rule looks at single rows: without one no row can fail, and no file is kept of those that did."""
        return any(rule.type == "ROW" for rule in self.rules)

    def facts(self) -> dict[str, Any]:
        """For the run record."""
        return {
            "rows_stage": self.rows,
            "rows_quarantined": self.moved,
            "rows_dropped": self.dropped,
            "checks": [_fact(rule, self.checks[rule.name]) for rule in self.rules],
        }

    def line(self) -> dict[str, Any]:
        """For the ledger: enough for `resumed`."""
        found = [self.checks[rule.name] for rule in self.rules]
        counts = [[check.status, check.rows_count, check.fails_count] for check in found]
        return {"rows": self.rows, "moved": self.moved, "dropped": self.dropped, "checks": counts}

    @classmethod
    def resumed(
        cls, rules: Sequence[DataQualityExpectation], line: Mapping[str, Any], read: FileRead | None
    ) -> Quality:
        """What a run found that this one continues."""
        checks = {
            rule.name: DataQualityCheck(status=status, rows_count=rows, fails_count=fails)
            for rule, (status, rows, fails) in zip(rules, line["checks"], strict=True)
        }
        return cls(rules, checks, line["rows"], line["moved"], line["dropped"], read)

    def quarantine(self, session: Session) -> Frame:
        """Rows in quarantine, with the columns of the stage frame."""
        frame, kept = self._failed(session)
        return kept.quarantine(frame)

    def for_sink(self, sink: BaseDataSink, session: Session, run_id: str, moment: datetime) -> Frame:
        """Rows in quarantine as a sink wants them."""
        frame, kept = self._failed(session)
        if not sink.details:
            return kept.quarantine(frame)
        as_text = getattr(sink, "format", None) in {"CSV", "EXCEL", "XML"}
        return kept.with_reasons(frame, run_id, moment, as_text=as_text)

    def _failed(self, session: Session) -> tuple[Frame, Failed]:
        if self.failed is None:
            assert self.read is not None
            self.failed = session.scan(self.read)
        return self.failed, Failed.of(session.schema(self.failed).names(), self.rules)


@dataclass(slots=True)
class Judged:
    """Frames of a node that has rules."""

    stage: Frame
    output: Frame
    quality: Quality


def judge_node(
    node: PipelineNode,
    frame: Frame,
    session: Session,
    upstream: Callable[[str], Frame],
    seen: SeenFiles,
    folder: RunFolder | None,
    sessions: Sessions,
    *,
    again: bool,
) -> Judged:
    """Find out which rows pass, and act on it. Nothing of the node is written yet.

    Parameters
    ----------
    upstream : gives the frame of a node
    seen : files that the frame reads
    folder : where the run keeps its files, None if it keeps none
    sessions : those of the run
    again : the frame may be computed several times; otherwise it is computed once, into an intermediate result

    Raises
    ------
    DataQualityCheckFailedError
        A rule stops the node.
    StepError
        A rule cannot be computed.
    """
    _log.info("Checking Data Quality Expectations")
    rows = judge(frame, node.rules, session, upstream)
    if not again:
        # what fails here may cost much, or come out otherwise: it is not tried again to find the rule
        _compute(node, rows, session, folder)
    try:
        if again and (rows.once or folder is None):
            _compute(node, rows, session, folder)
        quality = _judged(node, rows, session, folder, sessions)
    except (SourceError, StepError) as error:
        seen.check()
        raise _of_a_rule(node, rows, session, error) from error.__cause__
    seen.check()
    _act(node, quality)
    if any(rule.action == "QUARANTINE" for rule in node.rules):
        _log.info("Building quarantine DataFrame")
    if any(rule.removes for rule in node.rules):
        _log.info("Dropping invalid rows")
    return Judged(rows.stage, rows.output, quality)


def _compute(node: PipelineNode, rows: Rows, session: Session, folder: RunFolder | None) -> None:
    """Compute the frame with its columns of rules, once."""
    if folder is None or not session.in_reach:
        rows.frame = session.collect(rows.frame)
        return
    output, read = scratch_output(
        rows.frame, folder.scratch / "stage", node.name, session.capabilities.scratch, session
    )
    stage_scratch(output, session)
    rows.frame = session.scan(read)


def _judged(node: PipelineNode, rows: Rows, session: Session, folder: RunFolder | None, sessions: Sessions) -> Quality:
    rules = node.rules
    for rule in rules:
        _log.info("Checking expectation '%s' | %s (type: %s)", rule.name, redact(rule.text), rule.type)
    if not rows.kept.rules:  # as `Quality.of_rows`
        return _counted(rules, rows, session, [0, 0])
    if folder is None:
        return _found(rules, rows, session)
    output, read = scratch_output(rows.failed, folder.quarantine, node.name, "PARQUET", session)
    staged = stage_scratch(output, session)
    sync_scratch(output)
    tally: Sequence[int | None] | None = rows.kept.tally_of(staged.rows)
    if tally is None:
        # a few columns of few rows, in a file that is here: on Spark this would be two more jobs
        reader = sessions.get("POLARS")
        tally = _one_row(reader, rows.kept.tally(reader.scan(read)))
    quality = _counted(rules, rows, session, tally)
    quality.read = read
    return quality


def _found(rules: Sequence[DataQualityExpectation], rows: Rows, session: Session) -> Quality:
    """What rules find where no file is kept of it."""
    failed = session.collect(rows.failed)
    quality = _counted(rules, rows, session, _one_row(session, rows.kept.tally(failed)))
    quality.failed = failed
    return quality


def _of_a_rule(node: PipelineNode, rows: Rows, session: Session, error: RunError) -> RunError:
    """The failure as that of the first rule that fails by itself, unless the rows fail without any rule."""
    try:
        session.fetch(rows.values)
    except (SourceError, StepError):
        return error
    for rule, alone in rows.alone(node.rules):
        try:
            session.fetch(alone)
        except (SourceError, StepError) as found:
            told = StepError(f"rule {rule.name!r} cannot be computed: {found}")
            told.path = ("expectations", node.expectations.index(rule), rule.kind)
            return told
    return error


def _counted(
    rules: Sequence[DataQualityExpectation], rows: Rows, session: Session, tally: Sequence[int | None]
) -> Quality:
    """The account of all rows; `tally` is that of the rows that failed."""
    total, *values = _one_row(session, rows.counts)
    *fails, moved, dropped = (count or 0 for count in tally)
    passing, counted = dict(zip(rows.totals, values, strict=True)), iter(fails)
    checks = {
        rule.name: check_of(rule, total, None, passed=passing[rule.name])
        if rule.type == "AGGREGATE"
        else check_of(rule, total, next(counted))
        for rule in rules
    }
    return Quality(rules, checks, total, moved, dropped)


def checks_of(
    rules: Sequence[DataQualityExpectation], frame: Frame, session: Session, upstream: Callable[[str], Frame]
) -> list[DataQualityCheck]:
    """Outcome of rules on a frame outside any run."""
    rows = judge(frame, rules, session, upstream)
    rows.frame = session.collect(rows.frame)
    return list(_found(rules, rows, session).checks.values())


def _one_row(session: Session, frame: Frame) -> Sequence[Any]:
    [row] = session.fetch(frame).rows()
    return row


def _act(node: PipelineNode, quality: Quality) -> None:
    """Tell the outcomes. All are told before one of them stops the node."""
    for rule in quality.rules:
        check = quality.checks[rule.name]
        counted = ""
        if check.fails_count is not None:
            counted = f" - failed rows : {check.fails_count} ({check.failure_rate or 0:.2%})"
        _log.info("Checking expectation '%s' | status : %s%s", rule.name, check.status, counted)
    try:
        for rule in sorted(quality.rules, key=lambda rule: not is_fatal(rule, quality.checks[rule.name])):
            act(rule, quality.checks[rule.name], node.name)
    except DataQualityCheckFailedError as error:
        error.facts = quality.facts()
        error.path = ("expectations", node.expectations.index(error.expectation))
        raise


def refuse_lost_rows(quality: Quality | None, sink: BaseDataSink | None, rows: int | None) -> None:
    """Every row of the stage frame is accounted for, before anything is committed.

    Parameters
    ----------
    sink : what is about to be committed; None for an intermediate result, which is as the output
    rows : rows of it

    Raises
    ------
    RunError
        Some are lost or doubled: what the node reads gives other rows each time, or Laktory is at fault.
    """
    if quality is None or rows is None:
        return
    moved = sink is not None and sink.is_quarantine
    if rows == (quality.moved if moved else quality.kept):
        return
    counts = {"in the output": quality.kept, "in quarantine": quality.moved, "dropped": quality.dropped}
    counts["in quarantine" if moved else "in the output"] = rows
    parts = ", ".join(f"{count:,} {where}" for where, count in counts.items())
    msg = f"the node has {quality.rows:,} rows, and there would be {parts}: nothing is written"
    raise RunError(f"{msg}; does a source change while it is read?")


def _fact(rule: DataQualityExpectation, check: DataQualityCheck) -> dict[str, Any]:
    found = {
        "name": redact(rule.name),
        "type": rule.type,
        "action": rule.action,
        "expr": redact(rule.text),
        "status": check.status,
        "rows": check.rows_count,
        "fails": check.fails_count,
        "rate": check.failure_rate,
    }
    if rule.type == "ROW":
        found["tolerance"] = str(rule.tolerance)
    if rule.fail_above is not None:
        found["fail_above"] = str(rule.fail_above)
    return found
