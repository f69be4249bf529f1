"""SQL that an engine takes for something else, which would give other rows than the statement says, or has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlglot import exp

__all__ = ["misread"]


def misread(node: exp.Expr, constructs: Collection[str]) -> tuple[str, str, exp.Expr] | None:
    """What an engine makes of a node, what to write instead, and an expression that tells the place.

    Parameters
    ----------
    constructs : what the engine misreads, see `Capabilities.misreads`
    """
    from sqlglot import exp

    if "DISTINCT FROM" in constructs and isinstance(node, (exp.NullSafeEQ, exp.NullSafeNEQ)) and _goes_on(node):
        message = "this engine takes all that follows IS DISTINCT FROM for its right side"
        return message, "put brackets around it: (a IS DISTINCT FROM b) AND …", node
    if "IS TRUE" in constructs and isinstance(node, exp.Is) and isinstance(node.expression, exp.Boolean):
        if _null_is_false(node):
            return None
        word = node.expression.sql()
        message = f"this engine gives NULL for NULL IS {word}, which is FALSE (and TRUE for IS NOT {word})"
        return message, "write COALESCE(…, FALSE) or COALESCE(…, TRUE)", node
    if "TABLE COLUMNS" in constructs and _is_frame(node) and (columns := node.alias_column_names):
        message = f"this engine passes over the names of columns in {node.alias} ({', '.join(columns)})"
        return message, f"name them in a subquery: (SELECT … AS {columns[0]} FROM …) AS {node.alias}", node  # noqa: S608 - shown only
    if "EXCLUDE OF" in constructs and isinstance(node, exp.Star):
        told = next((item for item in node.args.get("except_") or () if item.text("table")), None)
        if told is not None:
            message = f"this engine passes over {told.sql()!r} in EXCLUDE"
            hint = f"leave it out of the columns of its table: {told.text('table')}.* EXCLUDE ({told.name})"
            return message, hint, told
    if (lacked := _lacked(node, constructs)) is not None:
        return (*lacked, node)
    if not ("OUTER USING" in constructs and isinstance(node, exp.Join) and (using := node.args.get("using"))):
        return None
    if node.side not in {"RIGHT", "FULL"}:
        return None
    message = f"this engine gives NULL for keys that only the right side of a {node.side} JOIN … USING has"
    return message, "write ON, and COALESCE of the two keys", using[0]


def _lacked(node: exp.Expr, constructs: Collection[str]) -> tuple[str, str] | None:
    """What an engine has not, and would tell in words of its own."""
    from sqlglot import exp

    if "QUALIFY" in constructs and isinstance(node, exp.Qualify):
        return "this engine has no QUALIFY", "write the condition in WHERE around a subquery"
    if "RECURSIVE" in constructs and isinstance(node, exp.With) and node.args.get("recursive"):
        return "this engine has no WITH RECURSIVE", "write the steps one by one"
    if "STAR EXCEPT" in constructs and isinstance(node, exp.Star) and node.args.get("except_"):
        return "this engine leaves out no columns of *", "name the columns that stay"
    if "STAR REPLACE" in constructs and isinstance(node, exp.Star) and _changes(node):
        return "this engine changes and searches no columns of *", "name the columns"
    if "DISTINCT ON" in constructs and isinstance(node, exp.Distinct) and node.args.get("on"):
        return (
            "this engine has no DISTINCT ON",
            "number the rows in a subquery: row_number() OVER (…), and take the first",
        )
    if "WINDOW FILTER" in constructs and isinstance(node, exp.Window) and isinstance(node.this, exp.Filter):
        return "this engine has no FILTER before OVER", "write CASE WHEN … END in the aggregate"
    if (
        "ORDER BY AGGREGATE" in constructs
        and isinstance(node, exp.Ordered)
        and isinstance(node.find_ancestor(exp.Select, exp.Window), exp.Select)
    ):
        aggregate = node.find(exp.AggFunc)
        if aggregate is not None and aggregate.find_ancestor(exp.Window, exp.Select) is node.find_ancestor(exp.Select):
            return "this engine sorts by no aggregate in ORDER BY", "give it a name in SELECT, and sort by that name"
    return None


def _changes(star: exp.Expr) -> bool:
    return any(star.args.get(name) for name in ("ilike", "replace", "rename"))


def _is_frame(node: exp.Expr) -> bool:
    """Whether a table is named: the columns of functions are named as they should."""
    from sqlglot import exp

    return isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier)


def _goes_on(node: exp.Expr) -> bool:
    """Whether an operator follows the node, outside of brackets."""
    from sqlglot import exp

    while isinstance(node.parent, (exp.Binary, exp.Not)):
        if isinstance(node.parent, exp.Binary) and node.parent.this is node:
            return True
        node = node.parent
    return False


def _null_is_false(node: exp.Expr) -> bool:
    """Whether the value only decides which rows or which branch is taken, where NULL is as good as FALSE."""
    from sqlglot import exp

    while isinstance(node.parent, (exp.And, exp.Or, exp.Paren)):
        node = node.parent
    parent = node.parent
    if isinstance(parent, exp.If):
        return parent.this is node
    return isinstance(parent, (exp.Where, exp.Having)) or (isinstance(parent, exp.Join) and node.arg_key == "on")
