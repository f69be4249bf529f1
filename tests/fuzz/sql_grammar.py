"""SQL expressions with a known meaning: each comes as its text and as a function of a row, written down plainly.

The functions follow the documents, not the code: three-valued logic, exact whole numbers, NaN above any number. Where a
whole number leaves 64 bits on the way, or a text is no number, `Row.may_stop` is set: an engine may stop there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

SMALLEST, LARGEST = -(2**63), 2**63 - 1


class Row(dict[str, Any]):
    """Values by column."""

    may_stop = False

    def whole(self, value: int | None) -> int | None:
        if value is not None and not SMALLEST <= value <= LARGEST:
            self.may_stop = True
        return value


class Part(NamedTuple):
    text: str
    value: Callable[[Row], Any]


QUARTERS = st.integers(-400, 400).map(lambda number: number / 4)
INTEGERS = st.integers(-9, 9) | st.sampled_from([SMALLEST, LARGEST, 2**62, -(2**62), 2**32, 3037000500, 2**53 + 1])
FLOATS = QUARTERS | st.sampled_from([math.nan, -0.0])
TEXTS = st.text("abAB %_.x'é", max_size=5)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | INTEGERS,
            "j": st.none() | st.integers(-3, 3),
            "f": st.none() | FLOATS,
            "g": st.none() | QUARTERS,
            "s": st.none() | TEXTS,
            "u": st.none() | st.sampled_from(["a", "b", ""]),
            "b": st.none() | st.booleans(),
            "c": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=4,
)
TYPES = {
    "i": "integer",
    "j": "integer",
    "f": "float",
    "g": "float",
    "s": "text",
    "u": "text",
    "b": "boolean",
    "c": "boolean",
}


# ---- the meaning ---------------------------------------------------------------------------------


def lifted(function: Callable[..., Any], *parts: Part) -> Callable[[Row], Any]:
    """NULL where any argument is."""

    def value(row: Row) -> Any:
        values = [part.value(row) for part in parts]
        return None if any(item is None for item in values) else function(*values)

    return value


def whole(function: Callable[..., Any], *parts: Part) -> Callable[[Row], Any]:
    inner = lifted(function, *parts)
    return lambda row: row.whole(inner(row))


def order(value: Any) -> Any:
    """NaN equals NaN and is greater than any number."""
    return (1, 0) if isinstance(value, float) and math.isnan(value) else (0, value)


def equal(left: Any, right: Any) -> bool:
    """NULL equals NULL, as for IS DISTINCT FROM."""
    return left is right if left is None or right is None else order(left) == order(right)


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: order(left) == order(right),
    "<>": lambda left, right: order(left) != order(right),
    "<": lambda left, right: order(left) < order(right),
    "<=": lambda left, right: order(left) <= order(right),
    ">": lambda left, right: order(left) > order(right),
    ">=": lambda left, right: order(left) >= order(right),
}


def conjunction(*values: bool | None) -> bool | None:
    return False if False in values else None if None in values else True


def negation(value: bool | None) -> bool | None:
    return None if value is None else not value


def divided(left: float, right: float) -> float | None:
    return None if right == 0 else float(left) / float(right)


def quotient(left: int, right: int) -> int | None:
    return None if right == 0 else abs(left) // abs(right) * (-1 if (left < 0) != (right < 0) else 1)


def remainder(left: int, right: int) -> int | None:
    return None if right == 0 else abs(left) % abs(right) * (-1 if left < 0 else 1)


def rounded(value: float) -> float:
    return value if math.isnan(value) else math.copysign(math.floor(abs(value) + 0.5), value)


def substring(text: str, start: int, length: int) -> str:
    return text[start - 1 : start - 1 + length]


def like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[place:], pattern[1:]) for place in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


def trimmed(text: str) -> str:
    return text.strip(" ")


def chosen(pick: Callable[..., Any], *parts: Part) -> Callable[[Row], Any]:
    """GREATEST and LEAST skip NULL."""

    def value(row: Row) -> Any:
        known = [item for part in parts if (item := part.value(row)) is not None]
        return pick(known, key=order) if known else None

    return value


def first_known(*parts: Part) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        values = [part.value(row) for part in parts]
        return next((item for item in values if item is not None), None)

    return value


def case(condition: Part, then: Part, otherwise: Part | None) -> Callable[[Row], Any]:
    def value(row: Row) -> Any:
        taken, one, other = condition.value(row), then.value(row), otherwise.value(row) if otherwise else None
        return one if taken is True else other

    return value


def within(value: Part, items: tuple[Part, ...], null: bool) -> Callable[[Row], Any]:
    def result(row: Row) -> Any:
        found, values = value.value(row), [item.value(row) for item in items]
        if found is None:
            return None
        if any(item is not None and order(item) == order(found) for item in values):
            return True
        return None if null or None in values else False

    return result


# ---- the text ------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def column(name: str) -> Part:
    return Part(name, lambda row: row[name])


def constant(value: Any) -> Part:
    text = quoted(value) if isinstance(value, str) else str(value).upper() if isinstance(value, bool) else repr(value)
    return Part(f"({text})" if text.startswith("-") else text, lambda _: value)


def numbers(name: str, depth: int) -> st.SearchStrategy[Part]:
    """Whole numbers (`integer`) or fractions (`float`)."""
    names = [key for key, kind in TYPES.items() if kind == name]
    literals = st.integers(-9, 9) | st.just(LARGEST) if name == "integer" else QUARTERS
    leaf = st.sampled_from(names).map(column) | literals.map(constant)
    if depth == 0:
        return leaf
    same, text = numbers(name, depth - 1), texts(depth - 1)
    exact = whole if name == "integer" else lifted
    made = [
        leaf,
        st.tuples(same, same).map(lambda p: Part(f"({p[0].text} + {p[1].text})", exact(lambda a, b: a + b, *p))),
        st.tuples(same, same).map(lambda p: Part(f"({p[0].text} - {p[1].text})", exact(lambda a, b: a - b, *p))),
        same.map(lambda p: Part(f"ABS({p.text})", exact(abs, p))),
        *choices(name, depth),
    ]
    if name == "integer":
        made += [
            st.tuples(same, same).map(lambda p: Part(f"({p[0].text} * {p[1].text})", whole(lambda a, b: a * b, *p))),
            st.tuples(same, same).map(lambda p: Part(f"({p[0].text} // {p[1].text})", whole(quotient, *p))),
            st.tuples(same, same).map(lambda p: Part(f"({p[0].text} % {p[1].text})", whole(remainder, *p))),
            same.map(lambda p: Part(f"(- {p.text})", whole(lambda a: -a, p))),
            text.map(lambda p: Part(f"LENGTH({p.text})", lifted(len, p))),
            same.map(lambda p: Part(f"SIGN({p.text})", lifted(lambda a: (a > 0) - (a < 0), p))),
        ]
    else:
        whole_numbers = numbers("integer", depth - 1)
        made += [
            st.tuples(whole_numbers, whole_numbers).map(
                lambda p: Part(f"({p[0].text} / {p[1].text})", lifted(divided, *p))
            ),
            st.tuples(same, same).map(lambda p: Part(f"({p[0].text} / {p[1].text})", lifted(divided, *p))),
            same.map(lambda p: Part(f"ROUND({p.text})", lifted(rounded, p))),
            same.map(
                lambda p: Part(f"FLOOR({p.text})", lifted(lambda a: a if math.isnan(a) else float(math.floor(a)), p))
            ),
        ]
    return st.one_of(made)


def texts(depth: int) -> st.SearchStrategy[Part]:
    leaf = st.sampled_from(["s", "u"]).map(column) | TEXTS.map(constant)
    if depth == 0:
        return leaf
    same = texts(depth - 1)
    places = st.tuples(same, st.integers(1, 4), st.integers(0, 3))
    return st.one_of(
        leaf,
        st.tuples(same, same).map(lambda p: Part(f"({p[0].text} || {p[1].text})", lifted(lambda a, b: a + b, *p))),
        st.tuples(same, same).map(
            lambda p: Part(
                f"CONCAT({p[0].text}, {p[1].text})", lambda row: "".join(part.value(row) or "" for part in p)
            )
        ),
        same.map(lambda p: Part(f"UPPER({p.text})", lifted(str.upper, p))),
        same.map(lambda p: Part(f"TRIM({p.text})", lifted(trimmed, p))),
        places.map(
            lambda p: Part(f"SUBSTRING({p[0].text}, {p[1]}, {p[2]})", lifted(lambda a: substring(a, p[1], p[2]), p[0]))
        ),
        places.map(lambda p: Part(f"RIGHT({p[0].text}, {p[2]})", lifted(lambda a: a[-p[2] :] if p[2] else "", p[0]))),
        st.tuples(same, TEXTS.filter(bool), TEXTS).map(
            lambda p: Part(
                f"REPLACE({p[0].text}, {quoted(p[1])}, {quoted(p[2])})", lifted(lambda a: a.replace(p[1], p[2]), p[0])
            )
        ),
        numbers("integer", depth - 1).map(lambda p: Part(f"CAST({p.text} AS VARCHAR)", lifted(str, p))),
        *choices("text", depth),
    )


def booleans(depth: int) -> st.SearchStrategy[Part]:
    leaf = st.sampled_from(["b", "c"]).map(column) | st.booleans().map(constant)
    if depth == 0:
        return leaf
    same = booleans(depth - 1)
    kinds = [numbers("integer", depth - 1), numbers("float", depth - 1), texts(depth - 1)]
    made = [
        leaf,
        same.map(lambda p: Part(f"(NOT {p.text})", lambda row: negation(p.value(row)))),
        st.tuples(same, same).map(
            lambda p: Part(f"({p[0].text} AND {p[1].text})", lambda row: conjunction(p[0].value(row), p[1].value(row)))
        ),
        st.tuples(same, same).map(
            lambda p: Part(
                f"({p[0].text} OR {p[1].text})",
                lambda row: negation(conjunction(negation(p[0].value(row)), negation(p[1].value(row)))),
            )
        ),
        st.one_of(*kinds, same).map(lambda p: Part(f"({p.text} IS NULL)", lambda row: p.value(row) is None)),
        st.one_of(*kinds, same).map(lambda p: Part(f"({p.text} IS NOT NULL)", lambda row: p.value(row) is not None)),
        st.tuples(texts(depth - 1), st.text("ab%_", max_size=4)).map(
            lambda p: Part(f"({p[0].text} LIKE {quoted(p[1])})", lifted(lambda a: like(a, p[1]), p[0]))
        ),
        *choices("boolean", depth),
    ]
    for kind in kinds:
        made += [
            st.tuples(kind, st.sampled_from(list(COMPARED)), kind).map(
                lambda p: Part(f"({p[0].text} {p[1]} {p[2].text})", lifted(COMPARED[p[1]], p[0], p[2]))
            ),
            st.tuples(kind, kind).map(
                lambda p: Part(
                    f"({p[0].text} IS DISTINCT FROM {p[1].text})",
                    lambda row: not equal(p[0].value(row), p[1].value(row)),
                )
            ),
            st.tuples(kind, st.lists(kind, min_size=1, max_size=3).map(tuple), st.booleans()).map(
                lambda p: Part(
                    f"({p[0].text} IN ({', '.join([*(item.text for item in p[1]), *(['NULL'] if p[2] else [])])}))",
                    within(*p),
                )
            ),
            st.tuples(kind, kind, kind).map(
                lambda p: Part(
                    f"({p[0].text} BETWEEN {p[1].text} AND {p[2].text})",
                    lambda row: conjunction(
                        lifted(COMPARED[">="], p[0], p[1])(row), lifted(COMPARED["<="], p[0], p[2])(row)
                    ),
                )
            ),
        ]
    return st.one_of(made)


def choices(name: str, depth: int) -> list[st.SearchStrategy[Part]]:
    """What chooses between values of one kind."""
    kind = typed(name, depth - 1)
    condition = booleans(depth - 1)
    made = [
        st.tuples(condition, kind, st.none() | kind).map(
            lambda p: Part(
                f"CASE WHEN {p[0].text} THEN {p[1].text}{f' ELSE {p[2].text}' if p[2] else ''} END", case(*p)
            )
        ),
        st.tuples(kind, kind).map(lambda p: Part(f"COALESCE({p[0].text}, {p[1].text})", first_known(*p))),
        st.tuples(kind, kind).map(
            lambda p: Part(
                f"NULLIF({p[0].text}, {p[1].text})",
                lambda row: None if equal(p[0].value(row), p[1].value(row)) else p[0].value(row),
            )
        ),
    ]
    if name != "boolean":
        made += [
            st.tuples(kind, kind).map(lambda p: Part(f"GREATEST({p[0].text}, {p[1].text})", chosen(max, *p))),
            st.tuples(kind, kind).map(lambda p: Part(f"LEAST({p[0].text}, {p[1].text})", chosen(min, *p))),
        ]
    return made


def typed(name: str, depth: int) -> st.SearchStrategy[Part]:
    if name == "text":
        return texts(depth)
    return booleans(depth) if name == "boolean" else numbers(name, depth)


@st.composite
def expressions(draw: Any, deepest: int = 2) -> tuple[str, Part]:
    """Kind and expression."""
    name = draw(st.sampled_from(["integer", "float", "text", "boolean"]))
    return name, draw(CACHE[name, draw(st.integers(1, deepest))])


CACHE = {(name, depth): typed(name, depth) for name in ("integer", "float", "text", "boolean") for depth in (1, 2, 3)}
