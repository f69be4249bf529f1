"""Problems of expectations that need no data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from laktory.diagnostics import Problem, closest
from laktory.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from laktory.models.dataquality import DataQualityExpectation
    from laktory.models.pipeline.pipelinenode import PipelineNode
    from laktory.planning.columns import Columns

__all__ = ["rule_problems"]


def rule_problems(node: PipelineNode, columns: Columns) -> Iterator[Problem]:
    """Problems of the rules of a node, and of the sinks that wait for what they take out; paths start at the node.

    Parameters
    ----------
    columns : of the rows that are judged, None where only the data tell
    """
    rules = node.rules
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.name in seen:
            message = f"two expectations of node {node.name!r} are named {rule.name!r}"
            given = "name" in rule.model_fields_set
            path = ("expectations", index, "name") if given else ("expectations", index)
            yield Problem(message, path, hint="give each a name of its own")
        seen.setdefault(rule.name, index)
        yield from _expression_problems(rule, index)
        if columns is not None:
            yield from _column_problems(rule, index, columns)
    if not any(rule.action == "QUARANTINE" for rule in rules):
        for index, sink in enumerate(node.sinks):
            if sink.is_quarantine:
                message = f"no expectation of node {node.name!r} moves rows to the quarantine: this sink stays empty"
                hint = "give one of them 'action: QUARANTINE', or remove the sink"
                yield Problem(message, ("sinks", index, "is_quarantine"), hint=hint)


def _expression_problems(rule: DataQualityExpectation, index: int) -> Iterator[Problem]:
    from laktory.expressions.extent import extent, reads_rows

    expression, path = rule.as_expr, ("expectations", index, rule.kind)
    if expression is None:
        return
    try:
        expression.to_expr()
        found = extent(expression.expr, expression.type)
    except ExpressionError as error:
        column = None if error.offset is None or rule.expr is None else error.offset + 1
        yield Problem(str(error), path, line=None if column is None else 1, column=column)
        return
    if rule.type == "ROW" and found == "all":
        message = "a rule of type ROW judges each row, and this holds an aggregate of all of them"
        yield Problem(message, path, hint="write 'type: AGGREGATE', or … OVER (PARTITION BY …)")
    elif rule.type == "AGGREGATE" and (found != "all" or reads_rows(expression.expr, expression.type)):
        message = "a rule of type AGGREGATE is one value of all rows, and this differs from row to row"
        yield Problem(message, path, hint="remove 'type: AGGREGATE', or write an aggregate around each column")


def _column_problems(rule: DataQualityExpectation, index: int, columns: Sequence[str]) -> Iterator[Problem]:
    # engines may write an unquoted name as the table has it
    there = {name.casefold() for name in columns}
    for name, path in _named(rule, index):
        if name.casefold() not in there:
            message = f"rule {rule.name!r} names the column {name!r}, which the rows of the node do not have"
            yield Problem(message, path, list(columns)[:20], closest(name, columns))


def _named(rule: DataQualityExpectation, index: int) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Columns that a rule names, and where."""
    here = ("expectations", index)
    if rule.not_null is not None:
        for position, name in enumerate(rule.not_null):
            yield name, (*here, "not_null", position)
    elif rule.unique is not None:
        for position, name in enumerate(rule.unique.columns):
            yield name, (*here, "unique", "columns", position)
        if rule.unique.order_by is not None:
            yield rule.unique.order_by, (*here, "unique", "order_by")
    elif rule.accepted_values is not None:
        yield rule.accepted_values.column, (*here, "accepted_values", "column")
    elif rule.references is not None:
        yield rule.references.column, (*here, "references", "column")
    elif rule.expr is not None and rule.expr.type == "SQL":
        from laktory.expressions.extent import named_columns

        try:
            names = named_columns(rule.expr.expr)
        except ExpressionError:  # told already
            return
        for name in sorted(names):
            yield name, (*here, "expr")
