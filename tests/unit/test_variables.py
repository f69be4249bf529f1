from __future__ import annotations

import copy
import json
import time
from datetime import date
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laktory.diagnostics import Problem
from laktory.diagnostics.secrets import redact
from laktory.errors import DefinitionError
from laktory.loading import resolve
from laktory.loading import scope as scope_module

VARS: dict[str, Any] = {
    "n": 3,
    "ratio": 0.5,
    "on": True,
    "none": None,
    "text": "x",
    "list": ["p", "${vars.text}"],
    "dict": {"k": "${vars.n}"},
    "day": date(2020, 1, 1),
    "price": Decimal("1.10"),
    "path": PurePosixPath("/a/b"),
    "deep": "${vars.text}-${vars.n}",
    "sum": "${{ vars.n + 1 }}",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${vars.n}", 3),
        ("${var.n}", 3),
        ("${VARS.N}", 3),
        ("${ vars.n }", 3),
        ("${vars.on}", True),
        ("${vars.none}", None),
        ("${vars.list}", ["p", "x"]),
        ("${vars.dict}", {"k": 3}),
        ("${vars.day}", date(2020, 1, 1)),
        ("a-${vars.n}", "a-3"),
        ("${vars.n}${vars.ratio}", "30.5"),
        ("is ${vars.on}", "is true"),
        ("on ${vars.day}", "on 2020-01-01"),
        ("${vars.price} ${vars.path}", "1.10 /a/b"),
        ("${vars.list}!", '["p", "x"]!'),
        ("${vars.dict}!", '{"k": 3}!'),
        ("${vars.deep}", "x-3"),
        ("${vars.sum}", 4),
        ("${{ vars.n + 1 }}", 4),
        ("${{ vars.deep }}", "x-3"),
        ("${{ vars.list }}", ["p", "x"]),
        ("${{ vars['n'] }}", 3),
        ("${{ vars.get('missing', 7) }}", 7),
        ("${{ 'missing' in vars }}", False),
        ("${{ {'a': {'b': vars.n}} }}", {"a": {"b": 3}}),
        ("${{ '}}' }}", "}}"),
        ("n=${{ vars.n }}, on=${{ vars.on }}", "n=3, on=true"),
        ("${1} ${name} $HOME $$ ${", "${1} ${name} $HOME $$ ${"),
        ("${settings.log_level}", "INFO"),
        ("${setting.LOG_LEVEL}", "INFO"),
        ("${vars.log_level}", "INFO"),
        ("${{ vars.log_level }}", "INFO"),
        ("${settings.laktory_root}", "./.laktory/"),
    ],
)
def test_references(text: str, expected: Any) -> None:
    found = resolve(text, VARS)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${vars.nn}", "variable 'nn' is not defined"),
        ("${{ vars.nn }}", "variable 'nn' is not defined"),
        ("x ${vars.none}", "'${vars.none}' is None, which cannot stand inside a longer text"),
        ("${settings.log_levle}", "there is no setting 'log_levle'"),
        ("${vars.a-b}", "'${vars.a-b}' is no reference"),
        ("${vars.dict.k}", "for a part of a value write '${{ vars.dict.k }}'"),
        ("${n}", "write '${vars.n}'"),
        ("${{ vars.n", "never closed"),
        ("${{ open('x') }}", "open"),
        ("${{ vars.n.__class__ }}", "__class__"),
        ("${{ vars }}", "'vars' is no value"),
        ("${include.nodes}", "!use"),
    ],
)
def test_wrong_references(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        resolve({"a": text}, VARS)
    assert message in str(caught.value)
    assert caught.value.problems[0].path == ("a",)


@pytest.mark.parametrize(
    "text", ["${vars.nn}", "x ${{ vars.nn }}", "${settings.x}", "${vars.a-b}", "${{ 1 +", "${{ 1 + }}", "${vars.a"]
)
def test_unresolved_text_may_stay(text: str) -> None:
    assert resolve([text, "${vars.n} " + text], VARS, strict=False) == [text, "3 " + text]


def test_unresolved_part_of_a_value_may_stay() -> None:
    assert resolve("${vars.a}", {"a": "x ${vars.b}"}, strict=False) == "x ${vars.b}"


def test_every_problem_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        resolve({"a": "${vars.x} ${vars.y}", "b": ["${{ vars.z }}"], "c": "${vars.n}"}, VARS)
    assert [(problem.path, problem.line, problem.column) for problem in caught.value.problems] == [
        (("a",), 1, 1),
        (("a",), 1, 11),
        (("b", 0), 1, 1),
    ]


def test_input_is_left_alone_and_results_are_not_shared() -> None:
    value = {"variables": {"l": [1]}, "a": "${vars.l}", "b": "${vars.l}", "c": [{"d": "${vars.l}"}]}
    before = copy.deepcopy(value)
    resolved = resolve(value)
    resolved["a"].append(2)
    assert value == before
    assert resolved["b"] == [1]
    assert resolved["c"] == [{"d": [1]}]


def test_keys_are_never_resolved_and_variables_stay_as_written() -> None:
    value = {"variables": {"a": "${vars.b}", "b": "x"}, "${vars.a}": "${vars.a}"}
    assert resolve(value) == {"variables": {"a": "${vars.b}", "b": "x"}, "${vars.a}": "x"}


def test_objects_pass_untouched() -> None:
    thing = object()

    class Model(pydantic.BaseModel):
        a: str = "${vars.n}"

    model = Model()
    resolved = resolve({"a": thing, "b": [model], "c": ("${vars.n}", thing)}, VARS)
    assert resolved["a"] is thing
    assert resolved["b"][0] is model
    assert resolved["c"] == (3, thing)


# ---- scopes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [(False, "own around near far given env"), (True, "given given given given given env")],
)
def test_order_of_scopes(override: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["own", "around", "near", "far", "given", "ENVIRONMENT"]
    text = " ".join(f"${{vars.{name}}}" for name in names)

    def upto(index: int, label: str) -> dict[str, str]:
        return dict.fromkeys(names[index:5], label)

    value = {"variables": upto(1, "around"), "inner": {"variables": {"own": "own"}, "x": text}}
    monkeypatch.setenv("ENVIRONMENT", "env")
    monkeypatch.setenv("own", "env")
    given = dict.fromkeys(names[:5], "given")
    value["variables"] = {"around": "around"}
    found = resolve(value, given, parents=[{"near": "near"}, {"near": "hidden", "far": "far"}], override=override)
    assert found["inner"]["x"] == expected


def test_a_value_sees_the_variables_of_where_it_is_used() -> None:
    value = {
        "variables": {"env": "dev", "path": "/${vars.env}"},
        "a": "${vars.path}",
        "b": {"variables": {"env": "prd"}, "c": "${vars.path}"},
    }
    resolved = resolve(value)
    assert resolved["a"] == "/dev"
    assert resolved["b"]["c"] == "/prd"


def test_environment_needs_the_exact_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASE_HOST", "h")
    assert resolve("${vars.CASE_HOST}") == "h"
    with pytest.raises(
        DefinitionError, match="the environment has 'CASE_HOST'; environment variables are found by their exact name"
    ):
        resolve("${vars.case_host}")


def test_environment_values_are_not_resolved_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASE_HOST", "${vars.n}")
    assert resolve("${vars.CASE_HOST}", VARS) == "${vars.n}"


# ---- expressions -------------------------------------------------------------------------------


def test_pipeline_and_node_inside_expressions() -> None:
    value = {
        "name": "pl-${vars.env}",
        "variables": {"env": "dev"},
        "nodes": [
            {"name": "n-${{ pipeline.name }}", "variables": {"key": "id"}, "primary_keys": ["${vars.key}"]},
            {
                "name": "m",
                "keys": "${{ pipeline.nodes[0].primary_keys }}",
                "first": "${{ pipeline.nodes[0].name }}",
                "own": "${{ pipeline_node.name }}",
                "count": "${{ len(pipeline.nodes) }}",
                "all": "${{ pipeline.nodes[0] }}",
            },
        ],
    }
    node = resolve(value)["nodes"][1]
    assert node["keys"] == ["id"]
    assert node["first"] == "n-pl-dev"
    assert node["own"] == "m"
    assert node["count"] == 2
    assert node["all"]["name"] == "n-pl-dev"


def test_objects_replace_names() -> None:
    value = {"name": "a", "nodes": [{"x": "${{ pipeline.name + other }}"}]}
    assert resolve(value, objs={"pipeline": {"name": "b"}, "other": "c"})["nodes"] == [{"x": "bc"}]


def test_circles_through_expressions_are_named() -> None:
    value = {
        "name": "${{ pipeline_node.name }}",
        "nodes": [{"name": "${{ pipeline.title }}"}],
        "title": "${{ pipeline.nodes[0].name }}",
    }
    with pytest.raises(DefinitionError, match="in a circle: pipeline"):
        resolve({**value, "name": "x"}, strict=False)


# ---- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"a": "${vars.a}"}, "variable 'a' cannot reference itself"),
        ({"a": "x ${{ vars.a }}"}, "variable 'a' cannot reference itself"),
        ({"a": ["${vars.A}"]}, "variable 'a' cannot reference itself"),
        ({"a": "${vars.b}", "b": "${vars.a}"}, "in a circle: a -> b -> a"),
        ({"a": "${{ vars.b }}", "b": {"k": "${vars.a}"}}, "in a circle: a -> b -> a"),
        (
            {**{f"v{i}": f"${{vars.v{i + 1}}}" for i in range(99)}, "v99": 1, "a": "${vars.v0}"},
            "more than 50 variables refer to one another",
        ),
        (
            {**{f"v{i}": f"${{vars.v{i + 1}}}" * 10 for i in range(9)}, "v9": "lol", "a": "${vars.v0}"},
            "more than 1,000,000 characters",
        ),
        (
            {**{f"v{i}": [f"${{vars.v{i + 1}}}"] * 10 for i in range(9)}, "v9": 1, "a": "${vars.v0}"},
            "more than a million values",
        ),
        (
            {
                **{f"v{i}": f"${{{{ vars.v{i + 1} + vars.v{i + 1} }}}}" for i in range(40)},
                "v40": "lol",
                "a": "${vars.v0}",
            },
            "too large",
        ),
    ],
)
@pytest.mark.parametrize("place", ["given", "inside"])
def test_runaway_variables(variables: dict[str, Any], message: str, place: str) -> None:
    start = time.perf_counter()
    with pytest.raises(DefinitionError, match=message.replace("(", r"\(")):
        resolve(
            {"x": "${vars.a}", **({"variables": variables} if place == "inside" else {})},
            variables if place == "given" else None,
        )
    assert time.perf_counter() - start < 5


def test_self_reference_is_found_where_it_is_defined() -> None:
    with pytest.raises(DefinitionError) as caught:
        resolve(
            {"variables": {"a": "${vars.a}"}, "x": "${vars.a}", "nodes": [{"variables": {"A": "${{ vars.a }}"}}]},
            strict=False,
        )
    assert [problem.path for problem in caught.value.problems] == [("variables", "a"), ("nodes", 0, "variables", "A")]


def test_a_circle_is_reported_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        resolve(["${vars.a}", "${vars.b}", "${vars.a}"], {"a": "${vars.b}", "b": "${vars.a}"})
    assert len(caught.value.problems) == 1


def nested(depth: int, leaf: Any) -> Any:
    for index in range(depth):
        leaf = {"k": leaf} if index % 2 else [leaf]
    return leaf


def test_deep_trees() -> None:
    assert resolve(nested(100, "${vars.n}"), VARS) == nested(100, 3)
    for value in (nested(5000, "${vars.n}"), {"variables": {"deep": nested(5000, 1)}, "a": "${vars.deep}"}):
        with pytest.raises(DefinitionError, match="stand more than 128 deep"):
            resolve(value, VARS)


def test_a_tree_that_contains_itself() -> None:
    value: dict[str, Any] = {}
    value["again"] = value
    with pytest.raises(DefinitionError, match="stand more than 128 deep"):
        resolve(value)


# ---- regex variables ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "text", "expected"),
    [
        ({r"\$\{custom\.(.*?)\}": r"${\1}"}, "${custom.x}", "${x}"),
        ({r"\$\{custom\.(.*?)\}": r"${vars.\1}", "a": 1}, "${CUSTOM.a}", 1),
        ({r"\$\{c\}": [1]}, "${c}", [1]),
        ({r"\$\{c\}": [1]}, "x ${c}", "x [1]"),
        ({r"\$\{c\}": "y", "v": "${c}"}, "${vars.v}", "y"),
    ],
)
def test_regex_variables(variables: dict[str, Any], text: str, expected: Any) -> None:
    assert resolve({"variables": variables, "x": text})["x"] == expected


@pytest.mark.parametrize(
    ("key", "template", "text", "message"),
    [
        (r"\$\{(", "x", "${a}", "is no regular expression"),
        (r"\$\{a\}", r"\3", "${a}", "does not fit it"),
        (r"\$\{(a+)+\}", "x", "${" + "a" * 60, "can take forever"),
        (r"\$\{(a|b*)*\}", "x", "${" + "b" * 60, "can take forever"),
        (r"\$\{a\}", "x", "${a}" + " " * 30_000, "not applied to a text of more than 20,000 characters"),
    ],
)
def test_wrong_regex_variables(key: str, template: str, text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        resolve({"variables": {key: template}, "x": text})


# ---- secrets -----------------------------------------------------------------------------------


def test_secret_values_are_hidden_once_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASE_TOKEN", "tok-5519-env")
    variables = {"api_key": "key-7731-own", "password": pydantic.SecretStr("pw-9917-str"), "primary_key": "customer_id"}
    text = " ".join(f"${{vars.{name}}}" for name in (*variables, "CASE_TOKEN"))
    found = resolve(text, variables)
    assert found == "key-7731-own pw-9917-str customer_id tok-5519-env"
    assert redact(found) == "*** *** customer_id ***"


def test_a_secret_of_any_name_is_plain_when_resolved() -> None:
    found = resolve(["${vars.x}", "u:${vars.x}"], {"x": pydantic.SecretStr("s3cret-41")})
    assert found == ["s3cret-41", "u:s3cret-41"]
    assert redact("s3cret-41") == "***"


# ---- properties --------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10).filter(lambda text: "${" not in text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(value=PLAIN)
def test_values_without_references_are_unchanged(value: Any) -> None:
    assert resolve(value) == value


@settings(max_examples=100, deadline=None)
@given(value=PLAIN)
def test_a_whole_reference_gives_the_value_itself(value: Any) -> None:
    assert resolve("${vars.x}", {"x": value}) == value
    if isinstance(value, (list, dict)):
        assert json.loads(resolve(" ${vars.x}", {"x": value})) == value


@settings(max_examples=150, deadline=None)
@given(text=st.text("${}v.ars'\"x \n1+[]", max_size=30), strict=st.booleans())
def test_a_text_gives_a_value_or_problems(text: str, strict: bool) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        resolve(text, {"x": 1, "a": "s"}, strict=strict)
    except DefinitionError as error:
        problems = error.problems
        assert problems
    assert strict or not problems


@pytest.mark.parametrize("text", ["${resources.x.id} ${params.y} ${current_user.user_name}", "${bundle.target} $HOME"])
def test_references_of_others_stay_or_are_refused(text: str) -> None:
    assert resolve(text, {}, strict=False) == text
    with pytest.raises(DefinitionError, match="has no value"):
        resolve(text, {})


@pytest.mark.parametrize(
    "expression", ["vars.api_token.upper()", "vars.api_token[:6]", "vars.conn[2:]", "vars.db.password.upper()"]
)
def test_what_is_computed_from_a_secret_is_one(expression: str) -> None:
    variables = {"api_token": "tok98765432", "conn": "x-${vars.api_token}", "db": {"password": "pwd98765432"}}
    found = resolve("${{ " + expression + " }}", variables)
    assert found not in redact(f"cannot read {found}")
    # a variable that was looked at before is still one that holds a secret
    again = resolve(["${vars.conn}", "${{ vars.conn.lower() }}!"], {**variables, "api_token": "TOK11112222"})[1]
    assert "tok11112222" not in redact(again)


def test_a_choice_made_by_a_secret_is_none() -> None:
    resolve("${{ 'production' if vars.api_token else 'development' }}", {"api_token": "tok98765432"})
    assert redact("production") == "production"


def test_regex_variables_are_compiled_once_for_all_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    original = scope_module.pattern
    monkeypatch.setattr(scope_module, "pattern", lambda text: compiled.append(text) or original(text))
    variables = {rf"\$\{{a{number}\}}": "x" for number in range(600)}
    resolve([f"${{a{number}}}" for number in range(600)], variables)
    assert len(compiled) == 600


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("['x'] + pipeline_node.tags", ["x", "dev", "a"]),
        ("pipeline_node.tags + ['x']", ["dev", "a", "x"]),
        ("pipeline_node.tags * 2", ["dev", "a", "dev", "a"]),
        ("['dev', 'a'] == pipeline_node.tags", True),
        ("'dev' in pipeline_node.tags", True),
        ("','.join(pipeline_node.tags)", "dev,a"),
        ("sorted(pipeline_node.tags)", ["a", "dev"]),
        ("pipeline_node.tags.index('a')", 1),
        ("pipeline_node.tags[-1:]", ["a"]),
        ("f'{pipeline_node.tags}'", "['dev', 'a']"),
        ("len(pipeline.nodes)", 1),
    ],
)
def test_lists_of_the_definition_are_resolved_however_they_are_used(expression: str, expected: Any) -> None:
    node = {"tags": ["${vars.env}", "a"], "found": "${{ " + expression + " }}"}
    assert resolve({"nodes": [node], "variables": {"env": "dev"}})["nodes"][0]["found"] == expected
