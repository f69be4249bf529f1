"""Variables: random scopes, chains, circles and regex variables, against a plain oracle where there is one."""

from __future__ import annotations

import json
from typing import Any

from fuzzing import budget, example
from hypothesis import given
from hypothesis import strategies as st

from laktory.errors import DefinitionError
from laktory.loading import load, resolve

NAMES = [f"v{number}" for number in range(6)]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
)
PLAIN = st.recursive(
    SCALARS | st.text(st.characters(exclude_characters="$", codec="utf-8"), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=5,
)


# ---- against an oracle ---------------------------------------------------------------------------

# what a text is made of: literal parts, and names of variables
PARTS = st.lists(
    st.text("abc -{}é", max_size=4) | st.sampled_from(NAMES).map(lambda name: (name,)), min_size=1, max_size=4
)


class CircleError(Exception):
    pass


def written(parts: list[Any]) -> str:
    return "".join(part if isinstance(part, str) else f"${{vars.{part[0]}}}" for part in parts)


def expected(parts: list[Any], scope: dict[str, Any], chain: tuple[str, ...]) -> Any:
    """A reference that stands alone keeps its type; inside a text it becomes text, in the words of JSON."""
    values = [part if isinstance(part, str) else looked_up(part[0], scope, chain) for part in parts if part != ""]
    if len(values) == 1:
        return values[0]
    return "".join(map(embedded, values))


def looked_up(name: str, scope: dict[str, Any], chain: tuple[str, ...]) -> Any:
    if name in chain:
        raise CircleError
    value = scope[name]
    return expected(value, scope, (*chain, name)) if isinstance(value, tuple) else value


def embedded(value: Any) -> str:
    if value is None:
        raise CircleError  # NULL in a text is refused
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


SCOPES = st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.text("xyz 1é", max_size=5) | st.integers(-99, 99) | st.booleans() | PARTS.map(tuple))
)


@budget(120)
@given(SCOPES, PARTS)
def test_texts_of_variables(scope: dict[str, Any], parts: list[Any]) -> None:
    variables = {name: written(list(value)) if isinstance(value, tuple) else value for name, value in scope.items()}
    try:
        wanted = expected(parts, scope, ())
    except CircleError:
        wanted = CircleError
    with example(written(parts), variables):
        try:
            found = resolve(written(parts), variables)
        except DefinitionError:
            assert wanted is CircleError
            raise
        assert found == wanted
        assert type(found) is type(wanted)


@budget(60)
@given(PLAIN, st.sampled_from(["${vars.x}", "${{ vars.x }}", "${var.X}", "${{vars['x']}}"]))
def test_values_keep_their_type(value: Any, reference: str) -> None:
    with example(reference, value):
        document = {"variables": {"x": value}, "a": [reference, {"b": reference}]}
        assert load(document).resolve().value["a"] == [value, {"b": value}]


# ---- anything ------------------------------------------------------------------------------------

PIECES = [
    *(
        "${vars.",
        "${var.",
        "${{ vars.",
        "${{",
        "}}",
        "}",
        "${",
        "$",
        "{",
        " ",
        "v0",
        "v1",
        "v2",
        "v3}",
        "v0}",
        "v1 }}",
        "V2}",
    ),
    *(
        "${settings.log_level}",
        "${params.x}",
        "${resources.a.b}",
        "${include.x}",
        "${1}",
        "\\1",
        "\\${",
        "[0]",
        ".a",
        "'",
        '"',
    ),
    *(
        " + ",
        " * 1000 ",
        " if ",
        " else ",
        "vars",
        "pipeline",
        ".name",
        "pipeline.nodes[0].name",
        "pipeline_node",
        "len(",
        ")",
    ),
    *("'x' * 99999", "range(99999)", "vars.v0 ** 999", "str(", "\n", "\x00", "é", "\u2028", "\ufeff", "\\"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=10).map("".join)
KEYS = st.sampled_from([*NAMES[:4], "V1", "password"]) | st.lists(
    st.sampled_from(
        [
            r"\$\{",
            r"(.*?)",
            r"\}",
            "custom",
            r"\.",
            "(a+)+",
            "(a|a)*",
            ".*",
            "x{1,9}",
            "[",
            "(?P<n>.)",
            r"\w+",
            r"(\w*)\s*",
        ]
    ),
    min_size=1,
    max_size=6,
).map("".join)
VALUES = st.recursive(
    TEXTS | SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@budget(60)
@given(st.dictionaries(KEYS, VALUES, max_size=5), VALUES, st.dictionaries(KEYS, VALUES, max_size=2), st.booleans())
def test_any_scope(variables: dict[str, Any], value: Any, inner: dict[str, Any], strict: bool) -> None:
    node = {"name": "n", "variables": inner, "comment": value}
    definition = {"name": "p", "variables": variables, "nodes": [node, {"name": value}], "x": value}
    with example(definition):
        before = repr(definition)
        try:
            resolve(definition, strict=strict)
        finally:
            assert repr(definition) == before


@budget(8)
@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.sampled_from(
        ["${{vars.{}}}", "${{{{ vars.{} }}}}", "${{{{ vars.{0} + vars.{0} }}}}", "${{{{ [vars.{0}, vars.{0}] }}}}"]
    ),
)
def test_growth_is_bounded(depth: int, width: int, form: str) -> None:
    """Each variable repeats the next one."""
    variables: dict[str, Any] = {f"v{level}": form.format(f"v{level + 1}") * width for level in range(depth)}
    variables[f"v{depth}"] = "abc" * 10
    with example(variables):
        resolve({"variables": variables, "a": "${vars.v0}", "b": ["${vars.v0}"] * 20})
