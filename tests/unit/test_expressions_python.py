"""Python expressions: what they give, and that nothing else can be reached."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laktory.errors import DefinitionError, ExpressionError
from laktory.expressions import evaluate, looks_like_code, parse, scope


class View(Mapping[str, object]):
    """What the loader passes for `vars` and `pipeline`: read-only, values computed when asked for."""

    def __init__(self, values: dict[str, object]) -> None:
        self.values_ = values

    def __getitem__(self, key: str) -> object:
        if key == "cyclic":
            raise DefinitionError("variable 'cyclic' refers to itself")
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.values_, "cyclic"])

    def __len__(self) -> int:
        return len(self.values_) + 1


NAMES = {
    **scope(),
    "vars": View(
        {
            "x": 3,
            "name": "a b",
            "env": "dev",
            "empty": "",
            "items": [1, 2, 3],
            "table": {"schema": "s", "keys": ["id"], "len": 9},
            "none": None,
            "day": dt.date(2024, 1, 31),
            "été": 1,
            "big": list(range(200_000)),
        }
    ),
    "pipeline": View({"name": "pl-stocks"}),
}

VALUES = [
    ("1", 1),
    ("-1.5e3", -1500.0),
    ("'text'", "text"),
    ("None", None),
    ("True", True),
    ("[1, 'a', None]", [1, "a", None]),
    ("(1,)", (1,)),
    ("{1, 2}", {1, 2}),
    ("{'a': {'b': [1]}}", {"a": {"b": [1]}}),
    ("vars.x + 1", 4),
    ("vars.x // 2 * 10 - 1", 9),
    ("vars.x ** 2 % 5", 4),
    ("vars['x'] / 2", 1.5),
    ("-vars.x", -3),
    ("~vars.x", -4),
    ("vars.x & 1 | 4 ^ 8", 13),
    ("vars.x > 2 and vars.env == 'dev'", True),
    ("vars.empty or 'default'", "default"),
    ("not vars.x", False),
    ("1 < vars.x <= 3", True),
    ("5 < vars.x < 1 / 0", False),
    ("'a' in vars.name", True),
    ("'z' not in vars.name", True),
    ("vars.none is None", True),
    ("vars.x is not None", True),
    ("(vars.x > 2) is True", True),
    ("'prod' if vars.env == 'prod' else 'test'", "test"),
    ("vars.items", [1, 2, 3]),
    ("vars.items[0]", 1),
    ("vars.items[-2:]", [2, 3]),
    ("vars.name[::-1]", "b a"),
    ("vars.table.schema", "s"),
    ("vars.table.len", 9),
    ("vars.table['keys'][0]", "id"),
    ("vars.table.keys", ["id"]),
    ("vars.get('missing', 7)", 7),
    ("vars.name.upper().replace(' ', '_')", "A_B"),
    ("'-'.join(vars.name.split())", "a-b"),
    ("vars.name.startswith('a')", True),
    ("vars.day.isoformat()", "2024-01-31"),
    ("f'{pipeline.name}-{vars.x:03d}-{vars.env!r:>6}'", "pl-stocks-003- 'dev'"),
    ("f'{vars.x / 7:.2f} {{}}'", "0.43 {}"),
    ("len(vars.items)", 3),
    ("sorted(vars.items, reverse=True)", [3, 2, 1]),
    ("sum([1, 2.5])", 3.5),
    ("max(vars.items)", 3),
    ("min(3, 1)", 1),
    ("max([], default=0)", 0),
    ("round(2.567, 2)", 2.57),
    ("abs(-2)", 2),
    ("str(vars.x) + 'x'", "3x"),
    ("int('12') + float('0.5')", 12.5),
    ("int('ff', 16)", 255),
    ("list(range(2, 8, 3))", [2, 5]),
    ("dict(a=1, b=2)", {"a": 1, "b": 2}),
    ("any([False, True]) and all([])", True),
    ("bool(0)", False),
    ("tuple([1])", (1,)),
    ("set([1, 1])", {1}),
    ("'ab' * 2 + 'c'", "ababc"),
    ("[0] * 3", [0, 0, 0]),
    ("'\\d+'", "\\d+"),
    ("  1 +\n   2\n", 3),
    ("(1 +\n2)", 3),
    ("vars.x  # a comment", 3),
    ("vars.été", 1),
    ("'ö' + 'ñ'", "öñ"),
    ("nw.Int64", nw.Int64),
    ("nw.Datetime('us')", nw.Datetime("us")),
    ("nw.List(nw.Int64)", nw.List(nw.Int64)),
    ("[nw.Int64, nw.String]", [nw.Int64, nw.String]),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_gives_the_value_python_would_give(text: str, value: object) -> None:
    result = evaluate(text, NAMES)
    assert result == value
    assert type(result) is type(value)


COLUMNS = [
    ("nw.col('x') * 2", [2, 4, 6]),
    ("col('x') + vars.x", [4, 5, 6]),
    ("2 * col('x') - 1", [1, 3, 5]),
    ("col('x').cast(nw.Float64) / 2", [0.5, 1.0, 1.5]),
    ("(col('x') > 1) & ~(col('x') == 3)", [False, True, False]),
    ("col('s').str.to_uppercase()", ["A", "B", "C"]),
    ("nw.when(col('x') > 1).then(lit('big')).otherwise(lit('small'))", ["small", "big", "big"]),
    ("col('x').is_in(vars.items[1:])", [False, True, True]),
    ("col('x').is_between(1, 2)", [True, True, False]),
    ("nw.sum_horizontal('x', 'x')", [2, 4, 6]),
    ("nw.coalesce(col('x'), lit(0))", [1, 2, 3]),
    ("nw.concat_str(col('s'), col('s'), separator='-')", ["a-a", "b-b", "c-c"]),
    ("nw.col('x').replace_strict({1: 10, 2: 20, 3: 30})", [10, 20, 30]),
    ("nw.selectors.by_dtype(nw.Int64) * 2", [2, 4, 6]),
    ("sql_expr('x * 2 + 1')", [3, 5, 7]),
    ("nw.sql_expr('CASE WHEN x > 1 THEN s END')", [None, "b", "c"]),
    ("col('x').max() - nw.len()", [0, 0, 0]),
]


@pytest.mark.parametrize(("text", "values"), COLUMNS)
def test_narwhals_expressions(text: str, values: list[object]) -> None:
    frame = nw.from_native(pl.DataFrame({"x": [1, 2, 3], "s": ["a", "b", "c"]}))
    assert frame.with_columns(evaluate(text, NAMES).alias("y"))["y"].to_list() == values


NATIVE = [
    ("pl.col('x') * 2", [2, 4, 6]),
    ("col('s').str.to_uppercase() + lit('!')", ["A!", "B!", "C!"]),
    ("pl.when(col('x') > 2).then(1).when(pl.col('x') > 1).then(2).otherwise(pl.lit(3))", [3, 2, 1]),
    ("pl.concat_list('x').list.eval(pl.element() * 2).list.first()", [2, 4, 6]),
    ("pl.col('x').cast(pl.Float64).rolling_mean(window_size=1)", [1.0, 2.0, 3.0]),
    ("pl.selectors.integer() + 1", [2, 3, 4]),
    ("sql_expr('x + 1')", [2, 3, 4]),
    ("pl.int_range(pl.len())", [0, 1, 2]),
]


@pytest.mark.parametrize(("text", "values"), NATIVE)
def test_polars_expressions(text: str, values: list[object]) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3], "s": ["a", "b", "c"]})
    names = scope("NATIVE", "POLARS")
    assert frame.with_columns(evaluate(text, names).alias("y"))["y"].to_list() == values


def test_namespaces_registered_on_expressions_are_reachable() -> None:
    class Tax:
        def __init__(self, expr: nw.Expr) -> None:
            self._expr = expr

        def vat(self, rate: float) -> nw.Expr:
            return self._expr * (1 + rate)

    nw.Expr.tax = property(Tax)  # type: ignore[attr-defined]
    try:
        frame = nw.from_native(pl.DataFrame({"x": [10.0]}))
        assert frame.select(evaluate("col('x').tax.vat(0.5)", NAMES))["x"].to_list() == [15.0]
        with pytest.raises(ExpressionError, match="underscore"):
            evaluate("col('x').tax._expr", NAMES)
        with pytest.raises(ExpressionError, match="group of methods"):
            evaluate("col('x').tax", NAMES)
    finally:
        del nw.Expr.tax  # type: ignore[attr-defined]


HOSTILE = [
    # ways to Python's internals
    "().__class__.__base__.__subclasses__()",
    "''.__class__.__mro__[1].__subclasses__()",
    "vars.__class__",
    "vars.values_",
    "pipeline.__init__.__globals__",
    "col.__globals__",
    "col('x').__class__",
    "col('x')._nodes",
    "col('x').__init__(1)",
    "nw.__builtins__",
    "nw.col.__globals__['sys']",
    "vars['x'].__class__",
    "(1).__class__",
    "nw.Int64.mro()",
    "nw.Int64.__subclasses__()",
    "nw.Datetime('us').time_unit",
    "getattr(vars, '__class__')",
    "setattr(vars, 'x', 1)",
    "hasattr(vars, 'x')",
    "type(vars)",
    "object()",
    "vars()",
    "globals()",
    "locals()",
    "dir()",
    "id(1)",
    "eval('1')",
    "exec('1')",
    "compile('1', '', 'eval')",
    "open('/etc/passwd')",
    "print('x')",
    "input()",
    "breakpoint()",
    "__import__('os').system('id')",
    "__builtins__",
    "__name__",
    "ｅval('1')",  # noqa: RUF001 - normalised to eval
    "().＿＿class＿＿",  # noqa: RUF001
    "vars.ｖalues_",  # noqa: RUF001
    "os.system('id')",
    "sys.modules",
    "super()",
    "classmethod",
    # formatting that walks attributes or blows up
    "'{0.__class__}'.format(vars)",
    "'{x.__class__}'.format_map(vars)",
    "str.format('{0.__class__}', vars)",
    "'%s' % vars",
    "'%1000000000d' % 1",
    "f'{1:1000000000}'",
    "f'{1:{vars.x}0000000}'",
    "f'{1.5:.999999999f}'",
    "f'{vars.__class__}'",
    "f'{col}'",
    "f'{vars.day:%Y}'",
    "'x'.ljust(10**9)",
    "'x'.zfill(10**9)",
    "'x'.expandtabs(10**9)",
    "('a' * 1000).join(['b'] * 100000)",
    "('a' * 1000).replace('a', 'b' * 10000)",
    "'x'.translate({})",
    "'x'.encode()",
    # numbers and sizes
    "9**9**9",
    "2 ** 10000000",
    "10 ** -10**9 ** 9",
    "1 << 10**9",
    "1 >> 1",
    "'a' * 10**9",
    "10**9 * 'a'",
    "[0] * 10**9",
    "[[0] * 100000] * 100000",
    "[[[[[[[[0] * 10] * 10] * 10] * 10] * 10] * 10] * 10] * 10",
    "str([[[['a' * 1000] * 100] * 100] * 100])",
    "list(range(10**12))",
    "range(10**18)",
    "sum([[1]] * 1000, [])",
    "round(5, -10**9)",
    "int('9' * 5000)",
    "float('1' * 100001)",
    "1e400 * 0 == (10**400)",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "(-1) ** 0.5",
    "1j",
    "1 / 0",
    "1 % 0",
    "[1][5]",
    "{}['x']",
    "[][vars]",
    "{[]: 1}",
    "{[1]}",
    "-'a'",
    "'a' - 1",
    "len(5)",
    "sorted([1, 'a'])",
    "sorted([1], key=len)",
    "min([2], key=len)",
    "max(1)",
    "sum('abc')",
    "len(vars.big) + len([vars.big, vars.big])",
    # syntax that is not an expression, or not of this grammar
    "lambda: 1",
    "(lambda: 1)()",
    "[x for x in [1]]",
    "{x for x in [1]}",
    "{x: x for x in [1]}",
    "(x for x in [1])",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "(x := 1)",
    "x = 1",
    "import os",
    "from os import *",
    "del vars",
    "await x",
    "yield 1",
    "(yield)",
    "print(*[1])",
    "dict(**{'a': 1})",
    "{**{'a': 1}}",
    "[*[1]]",
    "1; 2",
    "col('x') @ col('y')",
    "b'x'",
    "...",
    "'a' 'b' c",
    "",
    "   ",
    "(",
    ")",
    "1 +",
    "vars.",
    "\x00",
    "\ud800",
    "1) + (2; 3",
    "if True: 1",
    "@x",
    "`x`",
    "$x",
    # functions and libraries are not values
    "len",
    "col",
    "nw",
    "nw.selectors",
    "nw.col",
    "col('x').cast",
    "col('x').str",
    "vars.name.upper",
    "[len]",
    "[nw]",
    "str(col('x'))",
    "list(col('x'))",
    "len(nw)",
    "vars.x()",
    "vars.name()",
    "vars.table()",
    "5()",
    "'x'()",
    "len(len)",
    "[1].append(2)",
    "vars.items.append(1)",
    "vars.table.update({'a': 1})",
    "vars.table.pop('schema')",
    "vars.clear()",
    # dataframe libraries: nothing that reads, writes, evaluates or takes Python
    "nw.from_native(1)",
    "nw.from_dict({'a': [1]})",
    "nw.read_csv('x.csv', backend='polars')",
    "nw.scan_parquet('x', backend='polars')",
    "nw.new_series('a', [1], nw.Int64, backend='polars')",
    "nw.to_native(1)",
    "nw.get_native_namespace(1)",
    "nw.dependencies.get_polars()",
    "nw.DataFrame",
    "nw.Expr",
    "nw.narwhalify",
    "nw.show_versions()",
    "nw.sys",
    "col('x').map_batches(len)",
    "col('x').pipe(len)",
    "col('x').name.map(str)",
    "col('x').nothing()",
    "col.nothing",
    "nw.col.x",
    "col('x').str.str.str",
    "col('x').str()",
    "col('x')['a']",
    "col('x') and col('y')",
    "not col('x')",
    "1 if col('x') else 2",
    "1 < col('x') < 3",
    "col('x') in [1]",
    "1 in col('x')",
    "col('x') is None",
    "bool(col('x'))",
    "f'{col(1)}'",
    "col('x').rolling_mean(window_size='a')",
    "sql_expr('(SELECT 1)')",
    "sql_expr('read_csv(x)')",
    "sql_expr(1)",
    "pl.col('x')",
    "duckdb.sql('x')",
    # too much
    "(" * 300 + "1" + ")" * 300,
    "-" * 5000 + "1",
    "not " * 2000 + "1",
    "[" * 150 + "]" * 150,
    "1" + "+1" * 3000,
    "'" + "a" * 20_000 + "'",
    "x" + ".x" * 500,
    "col('x')" + ".abs()" * 400,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:50])
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, NAMES)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    offset = caught.value.offset
    assert offset is None or 0 <= offset <= len(text)


def test_nothing_reaches_out_even_when_it_fails(tmp_path: object) -> None:
    with pytest.raises(ExpressionError):
        evaluate(f"open('{tmp_path}/made', 'w')", NAMES)
    assert not list(tmp_path.iterdir())  # type: ignore[attr-defined]


MESSAGES = [
    ("vras.x", "unknown name 'vras'; did you mean 'vars'?", 0),
    ("vars.nmae", "'nmae' is not defined; did you mean 'name'?", 0),
    ("1 + vars.y", "'y' is not defined", 4),
    ("nw.sum_horizontl('a')", "did you mean 'sum_horizontal'?", 0),
    ("col('x').st.upper()", "did you mean 'str'?", 0),
    ("col('x').str.to_upercase()", "did you mean 'to_uppercase'?", 0),
    ("vars.name.uper()", "did you mean 'upper'?", 0),
    ("  1 / 0", "division by zero", 2),
    ("'é' + (1 / 0)", "division by zero", 7),
    ("1 +\n 1 / 0", "division by zero", 5),
    ("vars.x + \n  vars.zz", "'zz' is not defined", 12),
    ("vars.x is 257", "'is' asks for None, True or False only; use '=='", 0),
    ("1 << 2", "'<<' is not available", 0),
    ("[1, lambda: 2]", "functions cannot be defined", 4),
    ("(1 + ", "was never closed", 0),
]


@pytest.mark.parametrize(("text", "message", "offset"), MESSAGES)
def test_messages_point_at_the_fault(text: str, message: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, NAMES)
    assert message in str(caught.value)
    assert caught.value.offset == offset


def test_errors_of_the_definition_pass_through_views() -> None:
    with pytest.raises(DefinitionError, match="refers to itself") as caught:
        evaluate("vars.cyclic", NAMES)
    assert not isinstance(caught.value, ExpressionError)


def test_a_lookup_does_not_compute_the_other_variables() -> None:
    assert evaluate("vars.get('x')", NAMES) == 3


def test_branches_not_taken_are_not_computed() -> None:
    assert evaluate("1 if True else 1 / 0", NAMES) == 1
    assert evaluate("False and 1 / 0", NAMES) is False
    assert evaluate("True or vars.cyclic", NAMES) is True


def test_names_of_the_caller_win_over_builtins() -> None:
    assert evaluate("len + 1", {"len": 2}) == 3


def test_parse_checks_without_computing() -> None:
    parse("1 / 0 + unknown")
    with pytest.raises(ExpressionError, match="underscore"):
        parse("a.__b__")


def test_duckdb_has_no_names_of_its_own() -> None:
    assert scope("NATIVE", "DUCKDB") == {}
    assert not looks_like_code("col('x')", "NATIVE", "DUCKDB")


CODE = [
    ("col('x')", True, True),
    ("nw.col('x') * 2", True, True),
    ("pl.col('x') * 2", True, True),
    ("1 + lit(2)", True, True),
    ("sql_expr('a > 1')", True, True),
    ("[col('x'), 'y']", True, True),
    ("nw.Int64", True, False),
    ("pl.Int64", False, True),
    ("nw.selectors.numeric()", True, True),
    ("nw.read_csv('x')", True, True),
    ("col('x').str.to_uppercase().alias('y')", True, True),
    ("x", False, False),
    ("plain words", False, False),
    ("lit", False, False),
    ("column", False, False),
    ("a (b)", False, False),
    ("protocol(x)", False, False),
    ("len(x)", False, False),
    ("max(col)", False, False),
    ("nw.csv", False, False),
    ("pl.csv", False, False),
    ("nw", False, False),
    ("SELECT col(x) FROM y", False, False),
    ("x > 1 AND lit(3)", False, False),
    ("col('x'", False, False),
    ("{df}", False, False),
    ("{nodes.col}", False, False),
    ("symbol(1), col", False, False),
    ("", False, False),
    ("col(" * 3000, False, False),
    ("\x00 col(1)", False, False),
    ("[col('x') for x in y]", True, True),
]


@pytest.mark.parametrize(("text", "narwhals", "polars"), CODE, ids=lambda value: ascii(value)[:40])
def test_looks_like_code(text: str, narwhals: bool, polars: bool) -> None:
    assert looks_like_code(text) is narwhals
    assert looks_like_code(text, "NATIVE", "POLARS") is polars


def test_importing_costs_no_library() -> None:
    code = (
        "import sys, laktory.expressions as e; assert e.looks_like_code('nw.col(1)');"
        "e.evaluate('vars.x + 1', {'vars': {'x': 1}});"
        "print([m for m in ('polars', 'narwhals', 'duckdb', 'sqlglot', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TOKENS = r"""
col nw vars lit . ( ) [ ] { } , : 1 0 9**9 'a' "b" f'{ }' + - * / // % ** < == in is not and or if else lambda
x for __class__ _x format join upper range len str int sum ~ & | := ... None True # \ @ <<
"""


@settings(max_examples=300, deadline=2000)
@given(
    st.sampled_from(["", " ", "\n"]).flatmap(
        lambda gap: st.lists(st.sampled_from(TOKENS.split()), max_size=25).map(gap.join) | st.text(max_size=60)
    )
)
def test_any_text_gives_a_value_or_an_expression_error(text: str) -> None:
    with suppress(DefinitionError):
        evaluate(text, NAMES)
    looks_like_code(text)


@pytest.mark.parametrize(
    "text", ["pl.int_range(10**12)", "pl.int_range(0, -(10**12), -1)", "pl.int_range(5, 10**9, 3)"]
)
def test_a_range_without_end_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="int_range is too large: at most 10,000,000 rows"):
        evaluate(text, scope("NATIVE"))


@pytest.mark.parametrize("text", ["pl.int_range(pl.len())", "pl.int_range(1, 4)", "pl.int_range(3, dtype=pl.Int32)"])
def test_other_ranges_are_those_of_polars(text: str) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3]})
    assert frame.select(evaluate(text, scope("NATIVE"))).to_series().len() == 3
