"""An expression over columns, in SQL or in the words of the dataframe API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from laktory.errors import DefinitionError
from laktory.models.base import is_variable
from laktory.models.pipelinechild import PipelineChild, Upper
from laktory.models.problems import problem_error

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["DataFrameColumnExpr"]


class DataFrameColumnExpr(PipelineChild):
    """A column expression, e.g. ``close > 0`` or ``nw.col('close') > 0``."""

    expr: str = Field(description="The expression.")
    type_: Annotated[Literal["SQL", "DF"] | None, Upper] = Field(
        default=None,
        alias="type",
        description="SQL or DF (dataframe API). Default: found out by reading the expression.",
    )

    @field_validator("expr")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip() and not is_variable(value):
            raise problem_error("the expression is empty")
        return value

    @property
    def type(self) -> str:
        """`SQL` or `DF`, as given or as the expression reads."""
        if self.type_ is not None:
            return self.type_
        from laktory.expressions.scopes import looks_like_code

        return "DF" if looks_like_code(self.expr, self.dataframe_api, self._backend) else "SQL"

    @property
    def _backend(self) -> str:
        return self.dataframe_backend.value

    def to_expr(self, frame: nw.LazyFrame[Any] | nw.DataFrame[Any] | None = None) -> Any:
        """As an expression of Narwhals, or of the engine when `dataframe_api` is NATIVE.

        Parameters
        ----------
        frame : that it is for, if that is known, default None

        Raises
        ------
        ExpressionError
            If the text cannot be read or asks for something it may not.
        """
        if self.type == "DF":
            from laktory.expressions.python import evaluate
            from laktory.expressions.scopes import scope

            return evaluate(self.expr.strip(), scope(self.dataframe_api, self._backend, frame))
        if self.dataframe_api == "NARWHALS":
            from laktory.expressions.sql import compile_sql

            return compile_sql(self.expr.strip(), None if frame is None else frame.collect_schema())
        from laktory.runtime.doors import engine_words

        return engine_words(self.dataframe_backend).native_sql(self.expr.strip())

    def to_sql_expr(self) -> str:
        """The SQL text on one line.

        Raises
        ------
        DefinitionError
            If the expression is not SQL.
        """
        if self.type != "SQL":
            msg = f"{self.expr!r} is a dataframe expression, it has no SQL text"
            raise DefinitionError(msg)
        return self.line

    @property
    def line(self) -> str:
        """The expression on one line, unless a comment in it ends with its line."""
        text = self.expr.strip()
        return text if "--" in text else " ".join(text.splitlines())
