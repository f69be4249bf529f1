"""Rules as columns: which rows of a frame pass.

For each rule of type ROW there is an expression that is true for rows that pass, and false or NULL for others. Rules
that look at more than one row, or at another node, are columns of the frame itself, so that they are computed once:
which of several equal rows comes first may be decided differently the next time.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import narwhals as nw

from laktory.diagnostics import closest
from laktory.engines.errors import reason
from laktory.errors import LaktoryError, MissingColumnError, SinkError, StepError, within
from laktory.expressions.extent import extent, is_constant, named_columns, reads_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from laktory.engines.protocol import Session
    from laktory.models.dataquality import DataQualityExpectation

    Frame = nw.LazyFrame[Any]

__all__ = ["Failed", "Rows", "judge"]

_PREFIX = "_laktory_rule_"
SHOWN = frozenset({"QUARANTINE", "FAIL"})
"""Actions of rules whose failing rows somebody may want to see."""
REASONS, RUN_ID, MOMENT = "_failed_expectations", "_run_id", "_quarantined_at"
_SEPARATOR = "\x1f"
"""Between names of rules, which hold only printable characters."""


@dataclass(frozen=True, slots=True)
class Failed:
    """How the rows that failed a rule are kept: columns of the stage frame, then one for each rule, true if it failed.

    Columns of the stage frame are NULL unless the row fails a rule with the action QUARANTINE or FAIL: nobody reads
    them, and most rows may fail a rule that only warns.

    Attributes
    ----------
    columns : names of those of the stage frame
    rules : those of type ROW, in order
    """

    columns: tuple[str, ...]
    rules: tuple[DataQualityExpectation, ...]

    @classmethod
    def of(cls, names: Sequence[str], rules: Iterable[DataQualityExpectation]) -> Failed:
        """What a frame of these columns holds, kept for these rules."""
        judging = tuple(rule for rule in rules if rule.type == "ROW")
        return cls(tuple(names[: len(names) - len(judging)]), judging)

    @property
    def prefix(self) -> str:
        """Begins the names of the columns of rules, and no other."""
        # DuckDB takes names that differ only in case for one
        return _free(_PREFIX, lambda prefix: any(name.casefold().startswith(prefix) for name in self.columns))

    def flag(self, rule: DataQualityExpectation) -> str:
        """Column of a rule."""
        return f"{self.prefix}{self.rules.index(rule)}"

    def tally(self, failed: Frame) -> Frame:
        """One row: how many rows fail each rule, then those in quarantine and those dropped."""
        moved, dropped = self.fails({"QUARANTINE"}), self.fails({"DROP"})
        if moved is not None and dropped is not None:
            dropped = dropped & ~moved
        found = [*(nw.col(self.flag(rule)) for rule in self.rules), moved, dropped]
        sums = [nw.len() * 0 if each is None else each.cast(nw.Int64).sum() for each in found]
        return failed.select(total.alias(str(number)) for number, total in enumerate(sums))

    def tally_of(self, rows: int) -> list[int] | None:
        """What `tally` finds in so many rows, where their number tells: each of them fails the only rule there is."""
        if rows and len(self.rules) > 1:
            return None
        actions = {rule.action for rule in self.rules}
        return [rows for _ in self.rules] + [rows if action in actions else 0 for action in ("QUARANTINE", "DROP")]

    def quarantine(self, failed: Frame) -> Frame:
        """Rows in quarantine, with the columns of the stage frame."""
        return self._failing(failed, {"QUARANTINE"}).select(*self.columns)

    def rejected(self, failed: Frame) -> Frame:
        """Rows in quarantine, and those that fail a rule which stops the node, with the names of the rules as text."""
        name = _free(REASONS, lambda name: name in self.columns)
        return self._failing(failed, SHOWN).select(*self.columns, self.reasons(as_text=True).alias(name))

    def with_reasons(self, failed: Frame, run_id: str, moment: datetime, *, as_text: bool) -> Frame:
        """Rows in quarantine, with the names of the rules that each failed, the run and its time.

        Parameters
        ----------
        as_text : names on one line, for formats that hold no lists

        Raises
        ------
        SinkError
            The rows have a column of such a name.
        """
        for name in (REASONS, RUN_ID, MOMENT):
            if name in self.columns:
                msg = (
                    f"'details' adds the column {name!r}, which the rows have already; rename theirs in the transformer"
                )
                raise SinkError(msg)
        return self._failing(failed, {"QUARANTINE"}).select(
            *self.columns,
            self.reasons(as_text=as_text).alias(REASONS),
            nw.lit(run_id).alias(RUN_ID),
            nw.lit(_of_any_format(moment), dtype=nw.Datetime("us")).alias(MOMENT),
        )

    def reasons(self, *, as_text: bool) -> nw.Expr:
        """Names of the rules that a row has failed."""
        names = [nw.when(nw.col(self.flag(rule))).then(nw.lit(rule.name)) for rule in self.rules]
        joined = nw.concat_str(*names, separator=", " if as_text else _SEPARATOR, ignore_nulls=True)
        return joined if as_text else joined.str.split(_SEPARATOR)

    def _failing(self, failed: Frame, actions: Collection[str]) -> Frame:
        found = self.fails(actions)
        return failed.head(0) if found is None else failed.filter(found)

    def fails(self, actions: Collection[str]) -> nw.Expr | None:
        """Whether a row fails a rule with one of these actions; None if there is no such rule."""
        flags = [nw.col(self.flag(rule)) for rule in self.rules if rule.action in actions]
        return nw.any_horizontal(*flags, ignore_nulls=True) if flags else None


@dataclass(slots=True)
class Rows:
    """A frame with what is said of its rows.

    Attributes
    ----------
    frame : the stage frame, and a column for each rule that needs one
    kept : how the rows that fail are kept
    passed : for each rule of type ROW: true for rows that pass, else false or NULL
    totals : for each rule of type AGGREGATE, by name: its one value
    once : the frame holds columns of rules, and is to be computed once
    """

    frame: Frame
    kept: Failed
    passed: list[nw.Expr] = field(default_factory=list)
    totals: dict[str, nw.Expr] = field(default_factory=dict)
    once: bool = False

    @property
    def stage(self) -> Frame:
        """The stage frame itself."""
        return self.frame.select(*self.kept.columns) if self.once else self.frame

    @property
    def output(self) -> Frame:
        """Rows that stay."""
        passing = [passed for rule, passed in self._pairs() if rule.removes]
        frame = self.frame.filter(*passing) if passing else self.frame
        return frame.select(*self.kept.columns) if self.once else frame

    @property
    def failed(self) -> Frame:
        """Rows that fail any rule, as `Failed` says."""
        if not self.passed:
            return self.stage.head(0)
        flags = {self.kept.flag(rule): _fails(passed) for rule, passed in self._pairs()}
        every = nw.all_horizontal(*self.passed, ignore_nulls=False)
        failed = self.frame.filter(_fails(every)).with_columns(**flags)
        columns: list[Any] = list(self.kept.columns)
        shown = self.kept.fails(SHOWN)
        if shown is None or any(rule.action not in SHOWN for rule in self.kept.rules):
            seen = nw.lit(value=False) if shown is None else shown
            columns = [nw.when(seen).then(nw.col(name)).alias(name) for name in columns]
        return failed.select(*columns, *flags)

    @property
    def counts(self) -> Frame:
        """One row: how many rows there are, then the value of each rule of type AGGREGATE."""
        totals = [total.alias(f"value{number}") for number, total in enumerate(self.totals.values())]
        return self.stage.select(nw.len().alias("rows"), *totals)

    @property
    def values(self) -> Frame:
        """One row, which asks for every value of the stage frame and for no rule."""
        return self.stage.select(nw.col(name).count() for name in self.kept.columns)

    def alone(self, rules: Iterable[DataQualityExpectation]) -> Iterator[tuple[DataQualityExpectation, Frame]]:
        """Each rule with a frame that computes nothing else."""
        passed = {rule.name: value for rule, value in self._pairs()}
        for rule in rules:
            if rule.type == "AGGREGATE":
                yield rule, self.stage.select(self.totals[rule.name].alias("passed"))
            else:
                yield rule, self.frame.select(nw.when(passed[rule.name]).then(1).otherwise(0).sum().alias("passed"))

    def _pairs(self) -> Iterator[tuple[DataQualityExpectation, nw.Expr]]:
        return zip(self.kept.rules, self.passed, strict=True)


def _fails(passed: nw.Expr) -> nw.Expr:
    """True for rows that do not pass, else false."""
    return ~nw.coalesce(passed, nw.lit(value=False))


def _of_any_format(moment: datetime) -> datetime:
    """A moment as all formats hold it: in UTC without a zone, in milliseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None, microsecond=moment.microsecond // 1000 * 1000)


def judge(
    frame: Frame, rules: Sequence[DataQualityExpectation], session: Session, upstream: Callable[[str], Frame]
) -> Rows:
    """Say of the rows of a frame which rules they pass.

    Parameters
    ----------
    upstream : gives the frame of a node

    Raises
    ------
    StepError
        A rule cannot be computed on these columns.
    """
    schema = session.schema(frame)
    found = Rows(frame, Failed(tuple(schema), tuple(rule for rule in rules if rule.type == "ROW")))
    compiled: dict[int, nw.Expr] = {}
    for position, rule in enumerate(rules):
        if rule.references is None:
            with within("expectations", position, rule.kind), _computed(rule):
                compiled[position] = _compiled(rule, frame, schema)
    for kind in ("ROW", "AGGREGATE"):
        of_kind = {position: each for position, each in compiled.items() if rules[position].type == kind}
        _refuse_other_than_truth(frame, rules, of_kind)
    found.totals = {rules[at].name: each for at, each in compiled.items() if rules[at].type == "AGGREGATE"}
    columns: dict[str, nw.Expr] = {}
    passed = {at: _passed(found, rules[at], each, columns) for at, each in compiled.items() if rules[at].type == "ROW"}
    if columns:
        # all at once: none of them sees another one, whatever the order of rules
        found.frame, found.once = frame.with_columns(each.alias(name) for name, each in columns.items()), True
    for position, rule in enumerate(rules):
        if rule.references is not None:
            with within("expectations", position, rule.kind), _computed(rule):
                passed[position] = _referenced(found, rule, session, upstream)
    found.passed = [passed[position] for position in sorted(passed)]
    return found


def _compiled(rule: DataQualityExpectation, frame: Frame, schema: nw.Schema) -> nw.Expr:
    """A rule about columns of the frame."""
    expression = rule.as_expr
    assert expression is not None
    if expression.type == "SQL":
        _require(rule, named_columns(expression.expr), schema.names())
    if rule.type == "AGGREGATE" and reads_rows(expression.expr, expression.type):
        msg = "a rule of type AGGREGATE is one value of all rows, and this differs from row to row"
        raise StepError(f"{msg}; write an aggregate around each column")
    made: nw.Expr = expression.to_expr(frame)
    return made


def _refuse_other_than_truth(
    frame: Frame, rules: Sequence[DataQualityExpectation], compiled: Mapping[int, nw.Expr]
) -> None:
    """All types are asked for at once; only where that fails, one by one, to tell which rule it is."""
    try:
        types = frame.select(each.alias(str(position)) for position, each in compiled.items()).collect_schema()
    except Exception:  # noqa: BLE001 - told below
        types = None
    if types is not None and len(types) != len(compiled):
        types = None
    for position, each in compiled.items():
        with within("expectations", position, rules[position].kind), _computed(rules[position]):
            dtype = types[str(position)] if types else _one_type(frame.select(each).collect_schema())
            if dtype not in (nw.Boolean, nw.Unknown):
                msg = f"a rule is true or false, found values of type {dtype}; compare them with something"
                raise StepError(msg)


def _one_type(found: nw.Schema) -> Any:
    if len(found) != 1:
        names = ", ".join(found.names()[:20])
        msg = f"a rule is one value for each row, found several: {names}; combine them, as in nw.all_horizontal(…)"
        raise StepError(msg)
    return found.dtypes()[0]


def _passed(rows: Rows, rule: DataQualityExpectation, passed: nw.Expr, columns: dict[str, nw.Expr]) -> nw.Expr:
    """True for rows that pass, else false or NULL; what has to become a column of the frame is put into `columns`."""
    expression = rule.as_expr
    assert expression is not None
    extends, constant = extent(expression.expr, expression.type), is_constant(expression.expr, expression.type)
    if extends == "row" and not constant:
        return passed  # a filter takes NULL for false, and can be pushed down like this
    passed = nw.coalesce(passed, nw.lit(value=False))
    if extends == "row":
        # no engine takes a constant for a column everywhere
        return passed & (nw.col(rows.kept.columns[0]).is_null() | nw.lit(value=True))
    column = f"{rows.kept.flag(rule)}_passed"
    columns[column] = passed
    return nw.col(column)


def _referenced(
    rows: Rows, rule: DataQualityExpectation, session: Session, upstream: Callable[[str], Frame]
) -> nw.Expr:
    """Values that another node has, each of them once."""
    reference = rule.references
    assert reference is not None
    other, schema = upstream(reference.node), session.schema(rows.frame)
    found = session.schema(other)
    _require(rule, {reference.column}, schema.names())
    _require(rule, {reference.to}, found.names(), f"node {reference.node!r}")
    ours, theirs = schema[reference.column], found[reference.to]
    if ours != theirs and not (_is_whole(ours) and _is_whole(theirs)):
        msg = f"column {reference.column!r} is {ours}, and {reference.to!r} of node {reference.node!r} is {theirs}"
        raise StepError(f"{msg}; cast one of them")
    key, mark = f"{rows.kept.prefix}key", f"{rows.kept.flag(rule)}_passed"
    keys = (
        other.select(nw.col(reference.to).alias(key))
        .filter(~nw.col(key).is_null())
        .group_by(key)
        .agg(nw.len().alias(mark))
    )
    join = session.methods.get("join", type(rows.frame).join)
    rows.frame = join(rows.frame, keys, left_on=[reference.column], right_on=[key], how="left")
    rows.once = True
    rows.frame = rows.frame.with_columns((~nw.col(mark).is_null() | nw.col(reference.column).is_null()).alias(mark))
    return nw.col(mark)


def _is_whole(dtype: Any) -> bool:
    """Where an engine has no UInt64, it holds one as a decimal."""
    return bool(dtype.is_integer() or dtype == nw.Decimal(20, 0))


def _free(name: str, is_taken: Callable[[str], bool]) -> str:
    while is_taken(name):
        name = f"_{name}"
    return name


def _require(rule: DataQualityExpectation, named: Collection[str], columns: Sequence[str], where: str = "") -> None:
    """Engines differ in what they say of a missing column."""
    for name in sorted(set(named) - set(columns)):
        hint = closest(name, columns) or f"columns: {', '.join(columns[:20])}"
        msg = f"rule {rule.name!r} names the column {name!r}, which is not there{where and ' in '}{where}; {hint}"
        raise MissingColumnError(msg)


@contextmanager
def _computed(rule: DataQualityExpectation) -> Iterator[None]:
    """What an engine refuses at once is told of the rule."""
    try:
        yield
    except LaktoryError:
        raise
    except Exception as error:
        msg = f"rule {rule.name!r} cannot be computed on these columns: {reason(error)}"
        raise StepError(msg) from error
