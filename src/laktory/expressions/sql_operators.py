"""Columns, constants, operators, predicates and CASE."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from laktory.expressions.sql_build import (
    beside,
    compared_with_time,
    dtype_of,
    floating,
    is_alone,
    is_category,
    kind,
    literal,
    refuse,
    results_of,
    spelled_time,
    text_argument,
    truncated,
    untyped_column,
    when,
    widened,
)
from laktory.expressions.sql_casts import as_text, clock_of, constant_of
from laktory.expressions.sql_dates import shifted
from laktory.expressions.sql_grammar import MAX_BRANCHES
from laktory.expressions.sql_patterns import like
from laktory.expressions.sql_types import calculated, choices, is_zoned, naive, refuse_mixed, unary

if TYPE_CHECKING:
    from collections.abc import Callable

    import narwhals as nw

    from laktory.expressions.sql_build import Compile, Handler

__all__ = ["HANDLERS"]

_MAX_DIGITS = 40
_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "intdiv": "//", "mod": "%"}
_NO_NUMBERS = {
    "boolean": "a boolean; write CAST(… AS INT)",
    "time": "a date or timestamp; write … + INTERVAL 1 DAY, or DATEDIFF('day', a, b)",
    "clock": "a time of day",
    "duration": "a duration",
    "list": "a list",
    "struct": "a struct",
    "binary": "bytes",
}
# above this, a list of texts is looked up in one go instead of compared one by one
_LONG_LIST = 8


def _column(node: Any, _: Compile) -> Any:
    """``a.b.c`` is column a, field b, field c."""
    import narwhals as nw

    name, *fields = (part.name for part in node.parts)
    result = nw.col(name)
    for field in fields:
        result = result.struct.field(field)
    return _common_form(node, result)


def _common_form(node: Any, value: Any) -> Any:
    """What is not handed on as it is, in a type that every engine calculates with alike."""
    import narwhals as nw

    if is_category(node) and not is_alone(node):
        return value.cast(nw.String)  # engines order categories differently
    return widened(node, value)


def _dot(node: Any, compile_: Compile) -> Any:
    from sqlglot import exp

    if not isinstance(node.expression, exp.Identifier):
        refuse(f"{node.sql()!r} calls a method, which is not available in an SQL expression", node)
    return _common_form(node, compile_(node.this).struct.field(node.expression.name))


def _bracket(node: Any, compile_: Compile) -> Any:
    """``a[1]`` is the first item, as in standard SQL; outside the list it is NULL. The parser counts from 0."""
    import narwhals as nw
    from sqlglot import exp

    index = node.expressions[0] if len(node.expressions) == 1 else None
    if not isinstance(index, exp.Literal) or index.is_string or not str(index.this).isdecimal():
        refuse("a list item is chosen by a constant that counts from 1: a[1]", node)
    items, place = compile_(node.this), int(index.this)
    dtype = dtype_of(node.this)
    if isinstance(dtype, nw.Array):
        items = items.cast(nw.List(dtype.inner))
    return _common_form(node, when(items.list.len() > place, items).list.get(place))


def _literal(node: Any, _: Compile) -> nw.Expr:
    return literal(str(node.this)) if node.is_string else literal(_number(str(node.this)))


def _number(text: str) -> float:
    number = int(text) if text.isdecimal() and len(text) < _MAX_DIGITS else float(text)
    if isinstance(number, float) and (math.isinf(number) or text.isdecimal()):
        refuse(f"the number {text[:_MAX_DIGITS]}… is too large")
    return number


# ---- arithmetic ------------------------------------------------------------------------------


def _arithmetic(function: Callable[[Any, Any], Any], fractions: Callable[[Any, Any], Any] | None = None) -> Handler:
    """An operator; `fractions` is what it does where one side is known to be a fraction."""

    def handler(node: Any, compile_: Compile) -> Any:
        if fractions is not None and "float" in (kind(node.left), kind(node.right)):
            return _arithmetic(fractions)(node, compile_)
        if node.key in {"add", "sub"} and (moved := shifted(node, compile_)) is not None:
            return moved
        symbol = _SYMBOLS[node.key]
        if "text" in (kind(node.left), kind(node.right)):
            refuse(f"{symbol} takes numbers, not text; join texts with ||", node)
        for side in (node.left, node.right):
            if kind(side) in _NO_NUMBERS:
                refuse(f"{symbol} takes numbers, not {side.sql()}, {_NO_NUMBERS[str(kind(side))]}", node)
        left, right = compile_(node.left), compile_(node.right)
        exact = calculated(node, left, right, function)
        if exact is not None:
            return exact
        if kind(node.left) is None and kind(node.right) is None:
            # narrow integers would overflow silently on Polars
            left = left + literal(0)
        return function(left, right)

    return handler


def _not_zero(divisor: nw.Expr) -> nw.Expr:
    return when(divisor != literal(0), divisor)


def _divided(left: nw.Expr, right: nw.Expr) -> nw.Expr:
    return floating(left) / beside(left, floating(_not_zero(right)))


def _whole_quotient(left: nw.Expr, right: nw.Expr) -> nw.Expr:
    quotient = left.abs() // _not_zero(right.abs())
    return quotient * when((left < literal(0)) ^ (right < literal(0)), literal(-1), literal(1))


def _remainder(left: nw.Expr, right: nw.Expr) -> nw.Expr:
    remainder = left.abs() % _not_zero(right.abs())
    return remainder * when(left < literal(0), literal(-1), literal(1))


def _quotient_of_fractions(left: nw.Expr, right: nw.Expr) -> nw.Expr:
    return truncated(_divided(left, right))


def _remainder_of_fractions(left: nw.Expr, right: nw.Expr) -> nw.Expr:
    """What the whole quotient leaves: engines round a remainder of their own differently."""
    return floating(left) - _quotient_of_fractions(left, right) * floating(right)


def _negated(node: Any, compile_: Compile) -> Any:
    from sqlglot import exp

    if isinstance(node.this, exp.Literal) and not node.this.is_string:
        return literal(-_number(str(node.this.this)))
    if kind(node.this) == "text":
        refuse("- takes a number, not text", node)
    if (found := kind(node.this)) in _NO_NUMBERS:
        refuse(f"- takes a number, not {node.this.sql()}, {_NO_NUMBERS[str(found)]}", node)
    # 128 bits have no sign operator on every engine
    negated = (lambda value: literal(0) - value) if kind(node.this) == "integer" else operator.neg
    return unary(node.this, compile_(node.this), negated)


# ---- logic -----------------------------------------------------------------------------------


def _connector(function: Callable[[Any, Any], Any]) -> Handler:
    def handler(node: Any, compile_: Compile) -> Any:
        return _balanced(function, [_truth(term, compile_, node) for term in node.flatten()])

    return handler


def _balanced(function: Callable[[Any, Any], Any], terms: list[Any]) -> Any:
    """All terms combined in a balanced tree: a long chain must not nest deeper than engines can walk."""
    while len(terms) > 1:
        pairs = [function(*terms[i : i + 2]) for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) - len(terms) % 2 :]
    return terms[0]


def _not(node: Any, compile_: Compile) -> Any:
    return ~_truth(node.this, compile_, node)


def _truth(node: Any, compile_: Compile, call: Any) -> Any:
    """A condition: engines disagree on what a number or a text is as one."""
    if kind(node) not in {None, "boolean", "null"}:
        refuse(f"{call.key.upper()} takes a condition, not {node.sql()}; write {node.sql()} <> 0, say", call)
    return compile_(node)


def _is(node: Any, compile_: Compile) -> Any:
    from sqlglot import exp

    value = compile_(node.this)
    if isinstance(node.expression, exp.Null):
        return value.is_null()
    if not isinstance(node.expression, exp.Boolean):
        refuse("IS takes NULL, TRUE or FALSE", node)
    _truth(node.this, lambda _: None, node)
    return (value if node.expression.this else ~value).fill_null(value=False)


# ---- comparison ------------------------------------------------------------------------------

_MIRRORED: dict[Any, Any] = {
    operator.gt: operator.lt,
    operator.ge: operator.le,
    operator.lt: operator.gt,
    operator.le: operator.ge,
}


def _compared(left: Any, right: Any, function: Callable[[Any, Any], Any], compile_: Compile) -> Any:
    """Comparison; a text beside a date means the date it spells."""
    from sqlglot import exp

    if isinstance(left, exp.Literal) and not isinstance(right, exp.Literal):
        return _compared(right, left, _MIRRORED.get(function, function), compile_)
    refuse_mixed((left, right), left, "a comparison", spelled=True)
    if isinstance(right, exp.Literal) and right.is_string:
        if kind(left) == "time":
            return function(naive(left, compile_(left)), literal(constant_of(str(right.this), "TIMESTAMP")))
        if kind(left) == "clock":
            return function(compile_(left), literal(clock_of(str(right.this), left)))
        if untyped_column(left):
            in_time = compared_with_time(left.name, str(right.this), function)
            if in_time is not None:
                return in_time
    if is_zoned(left) != is_zoned(right):
        return function(naive(left, compile_(left)), naive(right, compile_(right)))
    return function(compile_(left), compile_(right))


def _comparison(function: Callable[[Any, Any], Any]) -> Handler:
    return lambda node, compile_: _compared(node.left, node.right, function, compile_)


def _between(node: Any, compile_: Compile) -> Any:
    low = _compared(node.this, node.args["low"], operator.ge, compile_)
    return low & _compared(node.this, node.args["high"], operator.le, compile_)


def _in(node: Any, compile_: Compile) -> Any:
    from sqlglot import exp

    if node.args.get("query") is not None or node.args.get("unnest") is not None or node.args.get("field") is not None:
        refuse("IN takes a list of values in parentheses; subqueries are not available", node)
    if not node.expressions:
        refuse("IN takes at least one value", node)
    items = [item for item in node.expressions if not isinstance(item, exp.Null)]
    texts = [str(item.this) for item in items if isinstance(item, exp.Literal) and item.is_string]
    refuse_mixed((node.this, *items), node, "IN", spelled=True)
    if len(items) == len(texts) > _LONG_LIST and not any(map(spelled_time, texts)):
        found = compile_(node.this).is_in(texts)
    elif items:
        found = _balanced(operator.or_, [_compared(node.this, item, operator.eq, compile_) for item in items])
    else:
        found = compile_(node.this).is_null() & literal(value=False)
    # x IN (1, NULL) is NULL, not false, where x is not 1
    return found | _unknown() if len(items) < len(node.expressions) else found


def _unknown() -> nw.Expr:
    import narwhals as nw

    return nw.lit(None, dtype=nw.Boolean)


def _same(node: Any, compile_: Compile) -> Any:
    left, right = compile_(node.left), compile_(node.right)
    either = left.is_null() | right.is_null()
    equal = _compared(node.left, node.right, operator.eq, compile_)
    return when(either, left.is_null() & right.is_null(), equal)


def _distinct(node: Any, compile_: Compile) -> Any:
    return ~_same(node, compile_)


def _like(node: Any, compile_: Compile, escape: str | None = None) -> Any:
    pattern = text_argument(node.expression, node, "pattern")
    if kind(node.this) not in {None, "text", "null"}:
        refuse(f"{node.key.upper()} takes text; write CAST(… AS VARCHAR)", node)
    found = like(compile_(node.this), pattern, escape=escape, ignore_case=node.key == "ilike")
    return ~found if node.args.get("negate") else found


def _escape(node: Any, compile_: Compile) -> Any:
    character = text_argument(node.expression, node, "character")
    if len(character) != 1 or node.this.key not in {"like", "ilike"}:
        refuse("ESCAPE takes one character, after LIKE or ILIKE", node)
    return _like(node.this, compile_, character)


# ---- choice ----------------------------------------------------------------------------------


def _case(node: Any, compile_: Compile) -> Any:
    compiled = choices(node, compile_)
    result = None if node.args.get("default") is None else compiled[-1]
    for branch, value in reversed(list(zip(node.args["ifs"], compiled, strict=False))):
        if node.this is None:
            condition = _truth(branch.this, compile_, node)
        else:
            condition = _compared(node.this, branch.this, operator.eq, compile_)
        result = when(condition, value, result)
    return result


def _if(node: Any, compile_: Compile) -> Any:
    return when(_truth(node.this, compile_, node), *choices(node, compile_))


def _coalesce(node: Any, compile_: Compile) -> Any:
    """As a CASE: of that, every engine computes what a row takes, of COALESCE some compute all for all rows.

    What stands in it twice is computed for all rows again: the first argument is anyway, and columns are there.
    """
    import narwhals as nw

    nodes, values = results_of(node), choices(node, compile_)
    begun = 1
    while begun < min(len(nodes) - 1, MAX_BRANCHES) and _is_there(nodes[begun]):
        begun += 1
    first, rest = values[:begun], values[begun:]
    result = nw.coalesce(*rest) if rest else first.pop()
    for value in reversed(first):
        result = when(value.is_null(), result, value)
    return result


def _is_there(node: Any) -> bool:
    """Whether it is a column or a constant: nothing that could stop a run."""
    from sqlglot import exp

    if isinstance(node, (exp.Paren, exp.Neg, exp.Cast)):
        return isinstance(node.this, exp.Literal)
    return isinstance(node, (exp.Column, exp.Literal, exp.Boolean, exp.Null))


def _nullif(node: Any, compile_: Compile) -> Any:
    value = compile_(node.this)
    equal = _compared(node.this, node.expression, operator.eq, compile_)
    return when(~equal.fill_null(value=False), value)


def _extreme(better: Callable[[Any, Any], Any]) -> Handler:
    """GREATEST and LEAST skip NULL; NaN is greater than any number."""

    def handler(node: Any, compile_: Compile) -> Any:
        def pick(best: Any, other: Any) -> Any:
            return when(other.is_null() | better(best, other), best, other)

        return _balanced(pick, choices(node, compile_))

    return handler


def _joined(node: Any, compile_: Compile) -> nw.Expr:
    import narwhals as nw

    return nw.concat_str(*(as_text(item, compile_) for item in node.flatten()))


HANDLERS: dict[str, tuple[Handler, str]] = {
    "column": (_column, "this table db catalog"),
    "dot": (_dot, "this expression"),
    "bracket": (_bracket, "this expressions"),
    "literal": (_literal, "this is_string"),
    "boolean": (lambda node, _: literal(bool(node.this)), "this"),
    "null": (lambda *_: literal(None), ""),
    "paren": (lambda node, compile_: compile_(node.this), "this"),
    "alias": (lambda node, compile_: compile_(node.this), "this alias"),
    "add": (_arithmetic(operator.add), "this expression"),
    "sub": (_arithmetic(operator.sub), "this expression"),
    "mul": (_arithmetic(operator.mul), "this expression"),
    "div": (_arithmetic(_divided), "this expression"),
    "intdiv": (_arithmetic(_whole_quotient, _quotient_of_fractions), "this expression"),
    "mod": (_arithmetic(_remainder, _remainder_of_fractions), "this expression"),
    "neg": (_negated, "this"),
    "and": (_connector(operator.and_), "this expression"),
    "or": (_connector(operator.or_), "this expression"),
    "not": (_not, "this"),
    "is": (_is, "this expression"),
    "eq": (_comparison(operator.eq), "this expression"),
    "neq": (_comparison(operator.ne), "this expression"),
    "gt": (_comparison(operator.gt), "this expression"),
    "gte": (_comparison(operator.ge), "this expression"),
    "lt": (_comparison(operator.lt), "this expression"),
    "lte": (_comparison(operator.le), "this expression"),
    "nullsafeeq": (_same, "this expression"),
    "nullsafeneq": (_distinct, "this expression"),
    "between": (_between, "this low high"),
    "in": (_in, "this expressions query unnest field"),
    "like": (_like, "this expression negate"),
    "ilike": (_like, "this expression negate"),
    "escape": (_escape, "this expression"),
    "case": (_case, "this ifs default"),
    "if": (_if, "this true false"),
    "coalesce": (_coalesce, "this expressions"),
    "nullif": (_nullif, "this expression"),
    "greatest": (_extreme(operator.gt), "this expressions"),
    "least": (_extreme(operator.lt), "this expressions"),
    "dpipe": (_joined, "this expression"),
}
"""Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
