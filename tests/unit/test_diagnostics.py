from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pydantic
import pytest

from laktory.diagnostics import (
    Mark,
    Marks,
    Position,
    Problem,
    closest,
    closest_file,
    field_name,
    plain_words,
    raise_problems,
    render,
)
from laktory.diagnostics.secrets import (
    is_secret_name,
    plain,
    redact,
    register,
    register_credentials,
    register_variables,
    spans,
)
from laktory.errors import MAX_CHARACTERS, DefinitionError


def marks_of(line: str, column: int, width: int = 1) -> Marks:
    return Marks({("a",): Mark(Position("f.yaml", 1, column), width=width)}, {"f.yaml": [line]})


def shown(line: str, column: int, width: int = 1) -> tuple[str, str]:
    """The line and the caret line of a problem, without their gutters."""
    _, text, caret = render(Problem("wrong", ("a",)), marks_of(line, column, width)).splitlines()[:3]
    assert text.startswith("    1 | ")
    assert caret.startswith("      | ")
    return text[8:], caret[8:]


# ---- the caret ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "width", "text", "caret"),
    [
        ("name: value", 7, 5, "name: value", "      ^^^^^"),
        ("name: value", 7, 500, "name: value", "      ^^^^^"),
        ("name:", 6, 1, "name:", "     ^"),
        ("name:   ", 60, 1, "name:", "     ^"),
        ("", 1, 1, "", "^"),
        ("\tname:\tvalue", 8, 5, " name: value", "       ^^^^^"),
        ("表: valeur", 4, 6, "表: valeur", "    ^^^^^^"),
        ("x: 表表", 4, 2, "x: 表表", "   ^^^^"),
        ("e\u0301te\u0301: x", 8, 1, "e\u0301te\u0301: x"[:8], "     ^"),
        ("a\x1b[31m: x", 9, 1, "a [31m: x", "        ^"),
        ("a\u202eb: x", 6, 1, "a b: x", "     ^"),
    ],
)
def test_caret(line: str, column: int, width: int, text: str, caret: str) -> None:
    found = shown(line, column, width)
    assert found[1] == caret
    assert found[0].startswith(text)


@pytest.mark.parametrize("column", [1, 50, 85, 500, 9_990, 10_000])
def test_caret_in_a_long_line(column: int) -> None:
    line = "".join(chr(ord("a") + index % 26) for index in range(10_000))
    text, caret = shown(line, column, 3)
    assert len(text) <= 162
    assert text[caret.index("^")] == line[column - 1]
    assert text.startswith("…") is (column > 81)
    assert text.endswith("…") is (column < 9_900)


def test_caret_of_wide_characters_in_a_long_line() -> None:
    text, caret = shown("表" * 500 + "x", 501)
    assert text.endswith("x")
    assert caret.index("^") == 1 + 2 * (len(text) - 2)


def test_long_underline_stays_on_the_shown_part() -> None:
    text, caret = shown("x" * 1000, 1, 1000)
    assert len(caret) <= len(text)


# ---- messages ----------------------------------------------------------------------------------


def test_problem_with_everything() -> None:
    problem = Problem("is\n wrong", ("nodes", 0, "mode"), valid=["A", "B"], hint="did you mean 'A'?")
    marks = Marks({("nodes",): Mark(Position("f.yaml", 2, 3), width=4)}, {"f.yaml": ["nodes:", "  - x: 1"]})
    assert render(problem, marks) == (
        "f.yaml:2:3: nodes[0].mode: is wrong\n    2 |   - x: 1\n      |   ^^^^\n  valid: A, B\n  did you mean 'A'?"
    )


def test_problem_on_a_key() -> None:
    mark = Mark(Position("f.yaml", 1, 8), key=Position("f.yaml", 1, 1), key_width=6)
    marks = Marks({("nodes",): mark, ("nodes", "mod"): mark}, {"f.yaml": ["nodes: x"]})
    assert render(Problem("unknown", ("nodes", "mod"), on_key=True), marks) == (
        "f.yaml:1:1: nodes: unknown\n    1 | nodes: x\n      | ^^^^^^"
    )


def test_problem_without_marks() -> None:
    assert render(Problem("wrong", ("a", 1))) == "a[1]: wrong"
    assert render(Problem("wrong", ("a",)), Marks()) == "a: wrong"
    assert render(Problem("wrong")) == "wrong"


@pytest.mark.parametrize(
    ("mark", "line", "column", "expected"),
    [
        (Mark(Position("f", 3, 5), text=Position("f", 4, 3), lines=True, indent=2), 1, 1, "f:4:3"),
        (Mark(Position("f", 3, 5), text=Position("f", 4, 3), lines=True, indent=2), 3, 4, "f:6:6"),
        (Mark(Position("f", 3, 5), text=Position("f", 3, 6)), 1, 4, "f:3:9"),
        (Mark(Position("f", 3, 5), text=Position("f", 3, 6)), 2, 4, "f:3:5"),
        (Mark(Position("f", 3, 5)), 1, 4, "f:3:5"),
    ],
)
def test_place_inside_a_text(mark: Mark, line: int, column: int, expected: str) -> None:
    assert render(Problem("x", ("a",), line=line, column=column), Marks({("a",): mark})) == f"{expected}: a: x"


def test_long_messages_are_cut() -> None:
    shown = render(Problem("x " * 1000, valid=["y" * 1000], hint="z" * 1000))
    assert len(shown.splitlines()[0]) == 300
    assert len(shown) <= MAX_CHARACTERS


def test_a_long_value_hides_nothing_of_what_is_said_about_it() -> None:
    assert render(Problem(f"'{'x' * 5000}' cannot be a name")) == f"'{'x' * 79}…{'x' * 19}' cannot be a name"


def test_many_problems_are_counted() -> None:
    with pytest.raises(DefinitionError) as caught:
        raise_problems([Problem(f"problem {index}") for index in range(30)])
    assert str(caught.value).splitlines()[-1] == "… and 10 more problems"
    assert len(caught.value.problems) == 30


@pytest.mark.parametrize(
    ("path", "expected"),
    [((), ""), (("a",), "a"), (("a", 0, "b"), "a[0].b"), ((0, "a"), "[0].a"), ((None, "a"), "None.a")],
)
def test_field_name(path: Any, expected: str) -> None:
    assert field_name(path) == expected


def test_closest() -> None:
    assert closest("Mod", ["mode", "path"]) == "did you mean 'mode'?"
    assert closest("zzz", ["mode", "path"]) is None


# ---- secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://user:pass@host/db", "postgres://***@host/db"),
        ("redis://:pass@host:6379", "redis://***@host:6379"),
        ("x://u:p@ss@host and y://a:b@c", "x://***@host and y://***@c"),
        ("https://ghp_abcdef@github.com/x", "https://***@github.com/x"),
        ("abfss://container@account.dfs.core.windows.net/p", "abfss://container@account.dfs.core.windows.net/p"),
        ("http://host:8080/p?mail=a@b", "http://host:8080/p?mail=a@b"),
        ("https://x/y?sig=abc%2F&se=1", "https://x/y?sig=***&se=1"),
        ("?access_token=abc&b=1", "?access_token=***&b=1"),
        ("AccountName=x;AccountKey=abc==;End=1", "AccountName=x;AccountKey=***;End=1"),
        ("password=hunter2, x=1", "password=***, x=1"),
        ("order_key=3 max_tokens=5 design=x", "order_key=3 max_tokens=5 design=x"),
        ("plain text", "plain text"),
    ],
)
def test_secrets_known_by_their_shape(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "DB_PASSWORD",
        "api_key",
        "apiKey",
        "APIKEY",
        "storageAccountKey",
        "clientSecret",
        "github-token",
        "key",
        "passwd",
        "AWS_SECRET_ACCESS_KEY",
        "encryption_keys",
        "key2",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "primary_key",
        "primary_keys",
        "primaryKeys",
        "keyboard",
        "monkey",
        "keys",
        "merge_key",
        "foreign_keys",
        "public_key",
        "secret_scope",
        "token_url",
        "key_columns",
        "max_tokens",
        "tokenizer",
        "secretary",
        "passage",
        "",
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_registered_values_are_hidden_in_every_form() -> None:
    register("p@ss w/rd-01")
    register('line "one" of it\nline two of it')
    assert redact("a p@ss w/rd-01 b") == "a *** b"
    assert redact("p%40ss%20w%2Frd-01 p%40ss+w%2Frd-01") == "*** ***"
    assert redact('{"x": "line \\"one\\" of it\\nline two of it"}') == '{"x": "***"}'
    assert redact('now line "one" of it and line two of it') == "now *** and ***"


def test_longer_secrets_first_and_overlaps_once() -> None:
    register("abcd-7781")
    register("abcd-7781-efgh")
    assert redact("abcd-7781-efgh abcd-7781") == "*** ***"
    assert redact("token=abcd-7781x") == "token=***"
    assert spans("xabcd-7781") == [(1, 10)]


@pytest.mark.parametrize("value", ["", "abc", 12, True, None, [], "   "])
def test_values_too_short_to_hide(value: Any) -> None:
    register(value)
    assert redact("abc 12 True None    x") == "abc 12 True None    x"


def test_nested_and_secret_str_values() -> None:
    register({"a": ["nested-4410", 73519284], "b": {"c": "inner-9923"}})
    assert redact("nested-4410 73519284 inner-9923") == "*** *** ***"
    assert plain(pydantic.SecretStr("revealed-3310")) == "revealed-3310"
    assert redact("revealed-3310") == "***"
    assert plain(5) == 5


def test_variables_are_registered_by_name() -> None:
    register_variables({"password": "vars-0071", "token": "${vars.other-0072}", "name": "vars-0073", 1: "vars-0074"})
    text = "vars-0071 ${vars.other-0072} vars-0073 vars-0074"
    assert redact(text) == "*** ${vars.other-0072} vars-0073 vars-0074"


@pytest.mark.parametrize(
    ("line", "column", "width", "text", "caret"),
    [
        ("url: longsecret-1; x: bad", 23, 3, "url: ***; x: bad", "             ^^^"),
        ("url: longsecret-1", 6, 12, "url: ***", "     ^^^"),
        ("url: longsecret-1; x", 9, 3, "url: ***; x", "     ^"),
        ("bad: longsecret-1", 1, 3, "bad: ***", "^^^"),
        ("u://a:b@h x: bad", 14, 3, "u://***@h x: bad", "             ^^^"),
    ],
)
def test_snippets_hide_secrets_and_keep_the_caret(line: str, column: int, width: int, text: str, caret: str) -> None:
    register("longsecret-1")
    assert shown(line, column, width) == (text, caret)


def test_messages_hide_secrets_even_where_they_are_cut() -> None:
    register("cutsecret-" + "z" * 50)
    problem = Problem(
        "x" * 280 + " cutsecret-" + "z" * 50, valid=["cutsecret-" + "z" * 50], hint="hint cutsecret-" + "z" * 50
    )
    assert "cutsecret" not in render(problem)


def test_registering_from_many_threads() -> None:
    values = [f"thread-{index}-secret" for index in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(register, values))
    assert redact(" ".join(values)) == " ".join(["***"] * 100)


@pytest.mark.parametrize(
    "name", ["tokens", "apikeys", "dbpassword", "credential", "DB_PASS", "pwd", "passwds", "accesskey", "authTokens"]
)
def test_plural_and_joined_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["passes", "compass_path", "bypass", "primary_keys", "tokens_count", "monkey"])
def test_names_that_only_look_like_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_credentials_of_a_url_are_hidden_where_it_is_normalised() -> None:
    register_credentials("postgres://me:pw9999@h/db file://u:hunter22@h/x")
    assert redact("no file 'postgres:/me:pw9999@h/db'") == "no file 'postgres:/***@h/db'"
    assert redact("hunter22") == "***"


@pytest.mark.parametrize(
    ("name", "candidates", "found"),
    [
        ("modee", ["mode", "name"], "mode"),
        ("sep", ["separator", "quote_char"], "separator"),
        ("partition", ["partition_by", "compression"], "partition_by"),
        ("se", ["separator"], None),
        ("zzz", ["separator"], None),
    ],
)
def test_closest_also_finds_what_begins_alike(name, candidates, found):
    assert closest(name, candidates) == (f"did you mean {found!r}?" if found else None)


def test_endings_of_files_say_nothing():
    assert closest_file("nodez.yaml", ["e.yaml", "nodes.yaml"]) == "did you mean 'nodes.yaml'?"
    assert closest_file("nodez.yaml", ["e.yaml", "d.yaml"]) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Expected an expression, got <class 'narwhals.functions.When'>", "Expected an expression, got When"),
        (
            "Expected `other` to be a 'narwhals.dataframe.LazyFrame', got: 'str'",
            "Expected `other` to be a LazyFrame, got: 'str'",
        ),
        ("cannot take <my.module.Frame object at 0x7f31f192e690>", "cannot take a Frame"),
        ("too large: OverflowError: Python int too large", "too large: Python int too large"),
        ('Binder Error: Referenced column "x" not found', 'Referenced column "x" not found'),
        ("column 'polars' is not there", "column 'polars' is not there"),
        ("no file 'polars.csv'", "no file 'polars.csv'"),
    ],
)
def test_plain_words(said: str, told: str) -> None:
    assert plain_words(said) == told
