"""``nw.laktory``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["LaktoryFunctions", "current_timestamp", "sql_expr"]


class LaktoryFunctions:
    """Functions, reached as ``nw.laktory``."""

    def current_timestamp(self) -> nw.Expr:
        """The moment of this call, in UTC, the same for all rows."""
        import narwhals

        return narwhals.lit(datetime.now(UTC), dtype=narwhals.Datetime("us", "UTC"))

    def sql_expr(self, sql: str) -> Any:
        """A SQL expression as a Narwhals expression.

        Raises
        ------
        ExpressionError
            If the text cannot be read or uses what has no meaning common to all engines.
        """
        from laktory.expressions.sql import compile_sql

        return compile_sql(sql)


current_timestamp = LaktoryFunctions().current_timestamp
sql_expr = LaktoryFunctions().sql_expr
