"""What the text of a SQL statement tells of its result: names of columns, and whether each row comes from one row."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from laktory.expressions.names import columns_of_query
from laktory.expressions.placeholders import bind, placeholders
from laktory.expressions.reader import reader, silence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import exp

__all__ = ["is_row_wise", "projected"]

_ROW_WISE = frozenset(
    {
        "abs", "add", "alias", "and", "between", "boolean", "case", "cast", "ceil", "coalesce", "column", "concat",
        "datatype", "div", "dot", "dpipe", "eq", "floor", "from", "gt", "gte", "identifier", "if", "ilike", "in",
        "intdiv", "is", "like", "literal", "lower", "lt", "lte", "mod", "mul", "neg", "neq", "not", "null", "nullif",
        "or", "paren", "round", "select", "star", "sub", "table", "tablealias", "trim", "trycast", "upper", "where",
    }
)  # fmt: skip
"""Parts of statements that are cheap to compute again, and give the same again."""


def projected(text: str, dialect: str, frames: Mapping[str, Sequence[str] | None]) -> list[str] | None:
    """Columns of the result of a statement that passed the guard, in order; None where the text alone does not tell.

    Parameters
    ----------
    frames : columns of frames by placeholder, without braces, None where they are not known
    """
    statement, tree = bind(text), _tree(text, dialect)
    known = {statement.names[key]: columns for key, columns in frames.items() if columns and key in statement.names}
    return None if tree is None else columns_of_query(tree, known)


_CASTS = frozenset({"cast", "trycast"})


def is_row_wise(text: str, dialect: str, *, casts: bool = True) -> bool:
    """Whether a statement makes each row out of one row of ``{df}``, without functions that cost or change.

    Parameters
    ----------
    casts : it may hold casts that stop the engine at a value
    """
    from sqlglot import exp

    tree = _tree(text, dialect)
    if not isinstance(tree, exp.Select) or [item.key for item in placeholders(text)] != ["df"]:
        return False
    # where CAST may be lenient, sqlglot reads it as TRY_CAST
    parts = _ROW_WISE if casts else _ROW_WISE - ({"cast"} if reader(dialect).parser_class.STRICT_CAST else _CASTS)
    # one SELECT: others would be subqueries
    return all(node.key in parts for node in tree.walk()) and len(list(tree.find_all(exp.Select, exp.Table))) == 2


@lru_cache(maxsize=1024)
def _tree(text: str, dialect: str) -> exp.Expr | None:
    from sqlglot import ErrorLevel
    from sqlglot.errors import SqlglotError

    statement = bind(text)
    try:
        with silence():
            read = reader(dialect)
            [tree] = read.parser(error_level=ErrorLevel.IMMEDIATE).parse(read.tokenize(statement.sql), statement.sql)
    except (SqlglotError, RecursionError, ValueError):
        return None
    return tree
