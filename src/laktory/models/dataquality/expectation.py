"""A rule for the rows of a node, and what happens to rows that do not meet it."""

from __future__ import annotations

from datetime import date, datetime
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from laktory.models.base import BaseModel, is_variable
from laktory.models.dataframe.dataframecolumnexpr import DataFrameColumnExpr
from laktory.models.dataquality.check import DataQualityCheck
from laktory.models.pipelinechild import PipelineChild, Upper
from laktory.models.problems import problem_error

__all__ = ["AcceptedValues", "DataQualityExpectation", "ExpectationTolerance", "References", "UniqueKeys"]

SHORT_FORMS = ("not_null", "unique", "accepted_values", "references")
REMOVING = frozenset({"DROP", "QUARANTINE"})
MAX_NAME = 120


class ExpectationTolerance(BaseModel):
    """How many rows may fail: a number of them, or a share."""

    abs: Annotated[int, Field(strict=True)] | None = Field(default=None, description="Rows that may fail.")
    rel: float | None = Field(default=None, description="Share of the rows that may fail, from 0 to 1.")

    @model_validator(mode="after")
    def _one(self) -> ExpectationTolerance:
        if self.abs is None and self.rel is None:
            raise problem_error("At least `abs` or `rel` must be set.")
        if self.abs is not None and self.rel is not None:
            raise problem_error("Only one of `abs` or `rel` must be set.")
        if not is_variable(self.abs) and self.abs is not None and self.abs < 0:
            raise problem_error(f"'abs' is a number of rows, found {self.abs}", valid="0 or more", key="abs")
        if not is_variable(self.rel) and self.rel is not None and not 0 <= self.rel <= 1:
            hint = f"write {self.rel / 100:g} for {self.rel:g} %" if 1 < self.rel <= 100 else None
            raise problem_error(f"'rel' is a share, found {self.rel:g}", valid="0 to 1", hint=hint, key="rel")
        return self

    def allows(self, fails: int, rows: int) -> bool:
        """Whether so many of the rows may fail."""
        if self.abs is not None:
            return fails <= self.abs
        # divided, not multiplied: 0.29 * 100 is less than 29
        return fails == 0 or (rows > 0 and fails / rows <= (self.rel or 0))

    def __str__(self) -> str:
        if self.abs is not None:
            return f"{self.abs:,} rows"
        percent = round(100 * (self.rel or 0), 10)
        return f"{percent:.2f}%" if round(percent, 2) == percent else f"{percent:.10g}%"


def _names(value: Any) -> Any:
    return [value] if isinstance(value, str) and not is_variable(value) else value


def _some(value: list[str]) -> list[str]:
    if not value:
        raise problem_error("name at least one column")
    return value


ColumnNames = Annotated[list[str], BeforeValidator(_names)]


class UniqueKeys(BaseModel):
    """Columns that no two rows share. Rows where one of them is NULL are not compared."""

    columns: ColumnNames = Field(description="Columns that together identify a row.")
    order_by: str | None = Field(default=None, description="Column that says which of equal rows is kept.")
    keep: Literal["first", "last", "none"] | None = Field(
        default=None, description="Which of equal rows passes: the first by `order_by` (default), the last, or none."
    )

    _not_empty = field_validator("columns")(_some)

    @model_validator(mode="after")
    def _ordered(self) -> UniqueKeys:
        if self.order_by is None and self.keep in ("first", "last"):
            raise problem_error(f"{self.keep!r} of equal rows by which column?", hint="add 'order_by'", key="keep")
        if self.order_by is not None and self.keep == "none":
            raise problem_error("none is kept, whatever the order", hint="remove 'order_by' or 'keep'", key="order_by")
        return self


class AcceptedValues(BaseModel):
    """Values that a column may have. NULL passes."""

    column: str = Field(description="Column that is judged.")
    values: list[bool | int | float | datetime | date | str] = Field(description="Values it may have.")

    @field_validator("values", mode="before")
    @classmethod
    def _some_values(cls, value: Any) -> Any:
        if isinstance(value, list) and None in value:
            raise problem_error("NULL passes always", hint="remove it; 'not_null' is the rule against it")
        if isinstance(value, list) and not value:
            raise problem_error("no row can have one of no values", hint="list at least one")
        if isinstance(value, list) and any(isinstance(item, float) and not isfinite(item) for item in value):
            raise problem_error("NaN and infinity cannot be listed", hint="write an 'expr' about them")
        return value


class References(BaseModel):
    """Values of a column that have to be found in another node. NULL passes."""

    planned: ClassVar = {"table": "tables in catalogs"}

    column: str = Field(description="Column that is judged.")
    node: str = Field(description="Node that has the values.")
    to: str = Field(description="Its column that has them.")


def _unique(value: Any) -> Any:
    return {"columns": value} if isinstance(value, (str, list)) and not is_variable(value) else value


def _expression(value: Any) -> Any:
    return {"expr": value} if isinstance(value, str) else value


class DataQualityExpectation(PipelineChild):
    """A rule. A row passes if it is true: one for which it is NULL does not pass.

    One of `expr`, `not_null`, `unique`, `accepted_values`, `references` says what the rule is.
    """

    dataframe_api_: Annotated[Literal["NARWHALS"] | None, Upper] = Field(
        default="NARWHALS",
        alias="dataframe_api",
        exclude=True,
        description="NARWHALS, whatever the node works on: a rule means the same on every engine.",
    )
    name: str = Field(description="Name, unique in the node. Default for the short forms: made of what they say.")
    expr: Annotated[DataFrameColumnExpr | None, BeforeValidator(_expression)] = Field(
        default=None, description="SQL or dataframe expression that is true for good rows, e.g. `close > 0`."
    )
    type: Annotated[Literal["ROW", "AGGREGATE"], Upper] = Field(
        default="ROW", description="ROW judges each row, AGGREGATE all rows at once, e.g. `COUNT(*) > 50`."
    )
    action: Annotated[Literal["WARN", "DROP", "QUARANTINE", "FAIL"], Upper] = Field(
        default="WARN",
        description="What happens to rows that do not pass: kept (WARN), removed (DROP), moved to the quarantine "
        "(QUARANTINE); FAIL stops the node before anything is written.",
    )
    tolerance: ExpectationTolerance = Field(
        default_factory=lambda: ExpectationTolerance.model_construct(abs=0, rel=None, variables={}),
        description="Rows that may fail before the status is FAIL. Removed rows are removed in either case.",
    )
    fail_above: ExpectationTolerance | None = Field(
        default=None, description="Rows that may fail before the node fails, whatever the action."
    )
    not_null: Annotated[ColumnNames | None, BeforeValidator(_names)] = Field(
        default=None, description="Columns that are never NULL."
    )
    unique: Annotated[UniqueKeys | None, BeforeValidator(_unique)] = Field(
        default=None, description="Columns that no two rows share."
    )
    accepted_values: AcceptedValues | None = Field(default=None, description="Values that a column may have.")
    references: References | None = Field(default=None, description="Values that have to be found in another node.")

    _check: Any = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("name") is None and (name := _name_of(data)):
            return {**data, "name": name}
        return data

    @field_validator("name")
    @classmethod
    def _short_name(cls, value: str) -> str:
        if is_variable(value):
            return value
        if not value.strip() or len(value) > MAX_NAME or not value.isprintable():
            raise problem_error(f"{value[:MAX_NAME]!r} cannot be a name", valid=f"1 to {MAX_NAME} printable characters")
        return value

    @field_validator("not_null")
    @classmethod
    def _some_columns(cls, value: list[str] | None) -> list[str] | None:
        return value if value is None else _some(value)

    @model_validator(mode="after")
    def _consistent(self) -> DataQualityExpectation:
        given = [name for name in ("expr", *SHORT_FORMS) if getattr(self, name) is not None]
        if not given:
            raise problem_error("the rule says nothing", hint=f"add 'expr', or one of {', '.join(SHORT_FORMS)}")
        if len(given) > 1:
            raise problem_error(f"{given[0]!r} and {given[1]!r} are two rules; make two expectations", key=given[1])
        if self.type == "AGGREGATE":
            self._refuse_of_aggregates(given[0])
        if self.action == "FAIL" and self.fail_above is not None:
            hint = "say with 'tolerance' how many rows may fail"
            raise problem_error("the action FAIL fails the node already", hint=hint, key="fail_above")
        return self

    def _refuse_of_aggregates(self, kind: str) -> None:
        """A rule about all rows at once has no rows that fail."""
        if kind != "expr":
            raise problem_error(f"{kind!r} judges each row", valid="ROW", hint="remove 'type'", key="type")
        if self.action in REMOVING:
            hint = "there are no rows to remove: use WARN or FAIL"
            raise problem_error(
                f"action {self.action!r} is not possible for type 'AGGREGATE'", valid=["WARN", "FAIL"], hint=hint,
                key="action",
            )  # fmt: skip
        for name in ("tolerance", "fail_above"):
            if name in self.model_fields_set and getattr(self, name) is not None:
                raise problem_error(f"{name!r} counts rows, and type 'AGGREGATE' judges all at once", key=name)

    # ---- what the rule says ------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """The field that says what the rule is."""
        return next(name for name in ("expr", *SHORT_FORMS) if getattr(self, name) is not None)

    @property
    def text(self) -> str:
        """The rule in words of its own: its SQL or dataframe expression."""
        if self.expr is not None:
            return self.expr.line
        if self.references is not None:
            rule = self.references
            column = _quoted(rule.column)
            return f"{column} IS NULL OR {column} IN ({{nodes.{rule.node}}}.{_quoted(rule.to)})"
        return self._short_form()

    def _short_form(self) -> str:
        if self.not_null is not None:
            return " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in self.not_null)
        if self.accepted_values is not None:
            column = _quoted(self.accepted_values.column)
            values = ", ".join(_literal(value) for value in self.accepted_values.values)
            return f"{column} IS NULL OR {column} IN ({values})"
        assert self.unique is not None
        keys = ", ".join(_quoted(name) for name in self.unique.columns)
        incomplete = " OR ".join(f"{_quoted(name)} IS NULL" for name in self.unique.columns)
        if self.unique.order_by is None:
            return f"{incomplete} OR COUNT(*) OVER (PARTITION BY {keys}) = 1"
        order = _quoted(self.unique.order_by) + (" DESC" if self.unique.keep == "last" else "")
        return f"{incomplete} OR ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"

    @property
    def as_expr(self) -> DataFrameColumnExpr | None:
        """The rule as an expression over the columns of the frame; None for `references`, which needs another one."""
        if self.expr is not None or self.references is not None:
            return self.expr
        made = DataFrameColumnExpr(expr=self._short_form(), type_="SQL")
        made._parent = self
        return made

    @property
    def upstream_node_names(self) -> list[str]:
        """Nodes that the rule reads."""
        return [self.references.node] if isinstance(self.references, References) else []

    @property
    def removes(self) -> bool:
        """Whether rows that do not pass leave the output."""
        return self.type == "ROW" and self.action in REMOVING

    @property
    def is_streaming_compatible(self) -> bool:
        """Whether it can judge rows one by one, without knowing how many there are."""
        return self.type == "ROW" and self.tolerance.abs == 0 and self.fail_above is None

    @property
    def is_ldp_compatible(self) -> bool:
        """Whether a declarative pipeline of Databricks can check it: a SQL expression for each row."""
        return self.type == "ROW" and self.expr is not None and self.expr.type == "SQL"

    is_dlt_compatible: ClassVar = is_ldp_compatible

    @property
    def is_ldp_managed(self) -> bool:
        """Whether such a pipeline checks it, not Laktory. This version compiles none."""
        return False

    is_dlt_managed: ClassVar = is_ldp_managed

    # ---- as filters --------------------------------------------------------------------------

    @property
    def pass_filter(self) -> Any:
        """Narwhals expression, true for rows that pass, never NULL; None for type AGGREGATE and `references`."""
        import narwhals as nw

        if self.type == "AGGREGATE" or self.as_expr is None:
            return None
        return nw.coalesce(self.as_expr.to_expr(), nw.lit(value=False))

    @property
    def fail_filter(self) -> Any:
        """Narwhals expression, true for rows that do not pass, never NULL."""
        passed = self.pass_filter
        return None if passed is None else ~passed

    @property
    def keep_filter(self) -> Any:
        """`pass_filter` if rows that do not pass are removed, else None."""
        return self.pass_filter if self.removes else None

    @property
    def quarantine_filter(self) -> Any:
        """`fail_filter` if rows that do not pass are quarantined, else None."""
        return self.fail_filter if self.removes and self.action == "QUARANTINE" else None

    # ---- what the last run found -------------------------------------------------------------

    @property
    def check(self) -> DataQualityCheck | None:
        """Outcome of `run_check`, else in the last run of the node; None before."""
        own: DataQualityCheck | None = self._check
        if own is not None:
            return own
        result = getattr(self.parent_pipeline_node, "_result", None)
        if result is None or result.quality is None:
            return None
        checks: dict[str, DataQualityCheck] = result.quality.checks
        return checks.get(self.name)

    @property
    def log_msg(self) -> str:
        """Rule and outcome on one line."""
        return f"expr: {self.text}" + (f" | {self.check.summary}" if self.check is not None else "")

    def run_check(self, df: Any, raise_or_warn: bool = False, node: Any = None) -> DataQualityCheck:
        """Judge a frame, narwhals or native.

        Parameters
        ----------
        df : frame
        raise_or_warn : then as `raise_or_warn`
        node : node for messages; default: the one this rule belongs to

        Returns
        -------
        DataQualityCheck
            Also kept as `check`.

        Raises
        ------
        StepError
            The rule cannot be computed on these columns.
        DataQualityCheckFailedError
            As of `raise_or_warn`.
        """
        from laktory.runtime.doors import check_frame

        [found] = check_frame([self], df)
        self._check = found
        if raise_or_warn:
            self.raise_or_warn(node)
        return found

    def raise_or_warn(self, node: Any = None) -> None:
        """Act on the outcome in `check`.

        Raises
        ------
        DataQualityCheckFailedError
            The status is FAIL, and so is the action; or more rows failed than `fail_above` allows.

        Warns
        -----
        UserWarning
            The status is FAIL, whatever the other action.
        """
        from laktory.runtime.doors import act_on_check

        act_on_check(self, node if node is not None else self.parent_pipeline_node)


def _name_of(data: dict[str, Any]) -> str | None:
    """``not_null_close`` for a short form that names its columns; what it says is judged later."""
    for kind in SHORT_FORMS:
        value = data.get(kind)
        if isinstance(value, BaseModel):
            value = value.to_plain()
        if isinstance(value, dict):
            value = value.get("column") or value.get("columns")
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and all(isinstance(name, str) for name in names) and names:
            return "_".join([kind, *(name for name in names if not is_variable(name))])[:MAX_NAME]
    return None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        return f"TIMESTAMP '{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"
