"""Expressions in the words of Polars: what lies outside the list cannot be reached."""

from __future__ import annotations

import pytest

from laktory.errors import ExpressionError
from laktory.expressions import evaluate, scope

HOSTILE_NATIVE = [
    "pl.read_csv('x.csv')",
    "pl.scan_parquet('x')",
    "pl.scan_csv('http://x')",
    "pl.read_database_uri('x', 'y')",
    "pl.SQLContext()",
    "pl.sql('SELECT 1')",
    "pl.Config.set_tbl_rows(1)",
    "pl.collect_all([])",
    "pl.select(1)",
    "pl.DataFrame({'a': [1]})",
    "pl.Series([1])",
    "pl.LazyFrame()",
    "pl.io",
    "pl.os.system('id')",
    "pl.plugins.register_plugin_function",
    "pl.api.register_expr_namespace('x')",
    "pl.Object",
    "pl.repeat(0, 10**15, eager=True)",
    "pl.int_range(10**12, eager=True)",
    "pl.fold(0, len, [])",
    "pl.map_batches(['x'], len)",
    "pl.map_groups(['x'], len)",
    "pl.Expr.deserialize('x')",
    "pl.col('x').map_elements(len)",
    "pl.col('x').map_batches(len)",
    "pl.col('x').rolling_map(len, 2)",
    "pl.col('x').pipe(len)",
    "pl.col('x').inspect()",
    "pl.col('x').deserialize('x')",
    "pl.col('x').meta.serialize('/tmp/x')",
    "pl.col('x').meta.show_graph()",
    "pl.col('x').name.map(str)",
    "pl.col('x').name.map_fields(str)",
    "pl.col.x",
    "pl.col('x')._pyexpr",
    "pl.Int64.from_python(int)",
    "nw.col('x')",
]


@pytest.mark.parametrize("text", HOSTILE_NATIVE)
def test_polars_members_outside_the_list_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, scope("NATIVE", "POLARS"))
