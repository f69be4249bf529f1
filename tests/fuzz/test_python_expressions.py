"""Python expressions: what Python gives, or refused; never a file, a process, a module or a blow-up."""

from __future__ import annotations

import builtins
import contextlib
import math
import warnings
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl
import pytest
from auditing import audited
from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st

from laktory.errors import ExpressionError
from laktory.expressions import evaluate, looks_like_code, scope

# ---- against Python ------------------------------------------------------------------------------

ATOMS = st.one_of(
    st.integers(-20, 300).map(str),
    st.sampled_from(["0.5", "1e3", "True", "False", "None", "x", "name", "items", "table", "2 ** 70", "1e308"]),
    st.text("ab {}%'\\é\n", max_size=5).map(repr),
)
BINARY = "+,-,*,/,//,%,**,&,|,^,==,!=,<,<=,>,>=,and,or,in,is,not in,is not"
SLICES = st.sampled_from(["[0]", "[-1]", "[1:]", "[::-1]", "[:2]", "['a']", "[5]", "[None:2]", "[::0]"])
_FUNCTIONS = "abs all any bool float int len list max min range round set sorted str sum tuple"
FUNCTIONS = _FUNCTIONS.split()
_METHODS = (
    ".upper() .strip() .split() .count('a') .index(1) .get('a') .keys() .items() .replace('a','bb') "
    ".join(['a','b']) .zfill(9) .startswith('a') .partition(' ') .title() .center(20) .is_integer() .find('b') "
    ".removeprefix('a') .splitlines() "
)
METHODS = st.sampled_from(_METHODS.split())


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(BINARY.split(",")), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(st.sampled_from(["-", "not ", "~", "+"]), inner).map(lambda p: f"({p[0]}{p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        st.lists(inner, max_size=3).map(lambda p: f"[{', '.join(p)}]"),
        st.lists(inner, max_size=2).map(lambda p: f"({''.join(item + ', ' for item in p)})"),
        st.lists(st.tuples(inner, inner), max_size=2).map(lambda p: "{" + ", ".join(f"{a}: {b}" for a, b in p) + "}"),
        st.tuples(inner, SLICES).map("".join),
        st.tuples(inner, METHODS).map("".join),
        st.tuples(st.sampled_from(FUNCTIONS), st.lists(inner, min_size=1, max_size=2)).map(
            lambda p: f"{p[0]}({', '.join(p[1])})"
        ),
        st.tuples(inner, st.sampled_from(["", "!r", ":>9", ":.2f", ":,", ":x", "!s:^5"])).map(
            lambda p: f'f"a{{{p[0]}{p[1]}}}b"' if '"' not in p[0] and "\\" not in p[0] and "\n" not in p[0] else p[0]
        ),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} < {p[1]} <= {p[2]})"),
    )


PLAIN = st.recursive(ATOMS, grown, max_leaves=8)
VALUES: dict[str, Any] = {"x": 3, "name": "a b", "items": [1, 2, 3], "table": {"a": 1, "b": [2]}}


@budget(150)
@given(PLAIN)
def test_plain_values_are_those_of_python(text: str) -> None:
    with example(text):
        found = evaluate(text, VALUES)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = {name: getattr(builtins, name) for name in FUNCTIONS}
            known["range"] = lambda *bounds: list(range(*bounds))  # ranges are lists, also within texts
            try:
                wanted = eval(text, {"__builtins__": known}, dict(VALUES))
            except TypeError as error:
                assert "dict_" in str(error), text  # what mappings hold is a list
                return
        wanted = list(wanted) if type(wanted).__name__.startswith("dict_") else wanted
        assert same(found, wanted), f"{text} gives {found!r} instead of {wanted!r}"


def same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) and math.isnan(wanted):
        return isinstance(found, float) and math.isnan(found)
    return type(found) is type(wanted) and repr(found) == repr(wanted)


# ---- anything ------------------------------------------------------------------------------------

HOSTILE = [
    *(
        "().__class__",
        "__import__('os').system('touch canary')",
        "open('canary', 'w')",
        "eval('1')",
        "exec('x=1')",
        "getattr(x, 'a')",
    ),
    *(
        "nw.col.__globals__",
        "nw.read_parquet('canary')",
        "nw.scan_csv('canary.csv')",
        "nw.get_level(1)",
        "nw.__file__",
        "nw.sys",
        "pl.os",
    ),
    *(
        "pl.read_csv('canary.csv')",
        "pl.scan_parquet('canary.csv')",
        "pl.SQLContext()",
        "pl.DataFrame({'a': [1]})",
        "globals()",
        "vars",
    ),
    *(
        "nw.col('a').map_batches(print)",
        "pl.col('a').map_elements(print)",
        "nw.col('a').pipe(open)",
        "pl.col('a').meta.serialize()",
    ),
    *(
        "'{0.__class__}'.format(x)",
        "f'{x.__class__}'",
        "f'{x:{x}}'",
        "f'{x!r:{9**9}}'",
        "f'{x:>999999999}'",
        "[i for i in x]",
        "(lambda: 1)()",
    ),
    *(
        "(y := 1)",
        "9**9**9",
        "'a' * 10**9",
        "[0] * 10**9",
        "range(10**12)",
        "list(range(10**7))",
        "1 << 10**9",
        "str(9**99999)",
        "int('9' * 5000)",
    ),
    *(
        "('a' * 9999).join(['b'] * 9999)",
        "'a'.zfill(10**9)",
        "'ab'.replace('', 'c' * 10**6)",
        "'a'.center(10**10)",
        "round(1.5, 10**9)",
        "x" * 99,
    ),
    *(
        "((((" * 40 + "1" + "))))" * 40,
        "-" * 500 + "1",
        "1" + "+1" * 3000,
        "[" * 90 + "]" * 90,
        "x.y" * 400,
        "not " * 300 + "1",
        "1 if 1 else " * 200 + "1",
    ),
    *(
        "nw.col('a') + 1",
        "nw.sum('a').over('b')",
        "nw.when(nw.col('a') > 1).then(2).otherwise(None)",
        "nw.lit(1).cast(nw.Int8)",
        "nw.Int64",
    ),
    *(
        "pl.col('a').str.contains('(a+)+$')",
        "col('a').is_in([1, 2])",
        "lit('é')",
        "sql_expr('a + 1')",
        "sql_expr(\"read_csv('canary.csv')\")",
    ),
    *(
        "pl.sql_expr(\"read_csv('canary.csv')\")",
        "nw.col('a').str.to_datetime(format='%Y')",
        "pl.col('a').hash()",
        "pl.element()",
        "nw.selectors.numeric()",
    ),
    *(
        "nw.col('a').rolling_mean(3)",
        "pl.col('a').rolling_map(print, 3)",
        "pl.int_range(10**12)",
        "pl.lit('a').repeat_by(10**12)",
        "nw.col('a')['b']",
    ),
    *(
        "nw.struct('a', 'b').struct.field('a')",
        "nw.col",
        "nw.col('a').str",
        "nw.col('a').name.map(print)",
        "nw.col(['a', 'b']).max()",
        "nw.nth(0)",
        "nw.len()",
    ),
]
MARKS = st.sampled_from(
    [
        *"()[]{}.,:+-*/%<>=!&|^~@#'\"\\\n\t \x00",
        "**",
        "__",
        "lambda ",
        "await ",
        "yield ",
        " for ",
        " if ",
        "\u2028",
        "\ufeff",
        "é",
        "f'",
    ]
)


@st.composite
def codes(draw: Any) -> str:
    inner = st.recursive(ATOMS | st.sampled_from(HOSTILE), grown, max_leaves=5)
    text = draw(inner | st.sampled_from(HOSTILE))
    for _ in range(draw(st.integers(0, 3))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 5))
        text = text[:at] + draw(MARKS | st.sampled_from(HOSTILE) | st.just("")) + text[at + length :]
    return text


@pytest.fixture(scope="module")
def vocabularies() -> list[dict[str, Any]]:
    """The words of both APIs; whatever they import late is imported here."""
    names = [{**scope(api), **VALUES} for api in ("NARWHALS", "NATIVE")]
    for text in HOSTILE:
        for vocabulary in names:
            with contextlib.suppress(ExpressionError):
                evaluate(text, vocabulary)
    return names


FRAME = pl.DataFrame({"a": [1, None, 3], "b": ["x", None, ""]})


@budget(60)
@given(codes(), st.sampled_from([0, 1]))
def test_any_code(vocabularies: list[dict[str, Any]], text: str, api: int) -> None:
    Path("canary.csv").write_text("a\nCANARY\n")
    with example(text), audited() as seen:
        looks_like_code(text, ("NARWHALS", "NATIVE")[api])
        try:
            result = evaluate(text, vocabularies[api])
        finally:
            assert not seen, f"{text!r}: {seen}"
    if isinstance(locals().get("result"), (pl.Expr, nw.Expr)):
        computed(text, result, api)


def computed(text: str, result: Any, api: int) -> None:
    """What the expression gives when a frame uses it shows no file; the library may refuse it in its own words."""
    frame: Any = FRAME.lazy() if api else nw.from_native(FRAME.lazy())
    with example("computed", text), audited() as seen:
        try:
            shown = str(frame.select(result.head(5)).collect())
        except Exception as error:  # noqa: BLE001 - what a library says when it computes is its own
            shown = "" if "CANARY" not in str(error) else str(error)
        assert "CANARY" not in shown
        assert not seen, f"{text!r}: {seen}"
