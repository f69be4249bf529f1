"""What an SQL expression may say: parsing, and refusing everything else at its place."""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import closest
from laktory.errors import ExpressionError
from laktory.expressions.reader import reader
from laktory.expressions.sql_build import call_name, refuse

if TYPE_CHECKING:
    from sqlglot import exp

    from laktory.expressions.sql_build import Handler

__all__ = ["handlers", "parse_sql", "shortened"]

MAX_TEXT = 10_000
MAX_NODES = 5_000
MAX_DEPTH = 60
MAX_BRANCHES = 60
MAX_SIZE = 5_000
"""Parts of the compiled expression. Some operations need an operand several times."""

_FUNCTIONS = (
    "abs array_contains array_length avg bool_and bool_or cast cbrt ceil ceiling char_length coalesce concat "
    "concat_ws contains count count_if current_date current_timestamp date date_diff date_part date_trunc datediff "
    "day dayofmonth dayofweek dayofyear dense_rank ends_with exp extract first_value floor greatest hour if ifnull "
    "instr is_inf is_nan isinf isnan isodow lag lead least left length list_contains ln log log10 log2 lower lpad "
    "ltrim max mean median min minute mod month now nullif nvl pi position pow power quarter rank regexp_like "
    "regexp_matches regexp_replace replace right round row_number rpad rtrim second sign split split_part sqrt "
    "starts_with stddev stddev_pop stddev_samp strpos substr substring sum to_date trim trunc try_cast upper var_pop "
    "var_samp variance week weekofyear year"
)

_INSTEAD = {
    **dict.fromkeys(
        ("adddate", "add_months", "dateadd", "date_add", "datesub", "date_sub"), "write … + INTERVAL 1 DAY"
    ),
    **dict.fromkeys(("date_format", "strftime", "to_char"), "EXTRACT and CAST(… AS VARCHAR) are"),
    **dict.fromkeys(("strptime", "str_to_date", "to_timestamp"), "CAST(… AS TIMESTAMP) reads 2024-01-31 10:00:00"),
    **dict.fromkeys(("decode", "nvl2", "nanvl"), "write CASE WHEN … THEN … ELSE … END"),
    **dict.fromkeys(("last_value", "arg_max", "max_by"), "write FIRST_VALUE(x) OVER (… ORDER BY y DESC)"),
    **dict.fromkeys(("regexp_full_match", "rlike"), "write x ~ '^pattern$'"),
}
"""Names that other dialects have for what is written in another way here."""

_REFUSED = {
    "select": "an expression is expected, not a query",
    "subquery": "subqueries are not available in an expression",
    "exists": "subqueries are not available in an expression",
    "placeholder": "placeholders are not available in an expression",
    "parameter": "placeholders are not available in an expression",
    "star": "'*' is only available in COUNT(*)",
    "tuple": "a list in parentheses is only available after IN",
    "distinct": "DISTINCT is only available in COUNT(DISTINCT …)",
    "array": "lists in [ ] are not available in an expression",
    "struct": "'{…}' is not available in an expression",
    "withingroup": "WITHIN GROUP is not available in an expression",
    "lambda": "functions cannot be defined in an expression",
}
# parts of other nodes, read by the node that holds them
_PARTS = frozenset({"identifier", "where", "order", "ordered", "windowspec", "datatype", "datatypeparam", "var"})
# arguments that only note how sqlglot read the text
_NOTES = frozenset({"safe", "typed", "coalesce", "big_int", "ignore_nulls", "single_replace"})
# functions sqlglot has no node for
_ALIASES = {"mean": "avg", "every": "logicaland", "now": "currenttimestamp", "to_date": "date", "iff": "if"}
_ALIASES |= {"is_inf": "isinf", **dict.fromkeys(("date_part", "datepart"), "extract")}
# functions that only stand before OVER → arguments that are understood
_WINDOW_ONLY = {
    "rownumber": "this",
    "rank": "this",
    "denserank": "this",
    "lag": "this offset default",
    "lead": "this offset default",
    "firstvalue": "this",
}
# how often the compiled form needs an operand, where it is more than once
_USES = {
    **dict.fromkeys(("div", "bracket", "sum", "trunc", "is", "between", "nullif", "case", "timestamptrunc"), 2),
    **dict.fromkeys(("mod", "intdiv", "sign", "max", "isnan", "isinf", "splitpart", "strposition", "pad"), 4),
    **dict.fromkeys(("nullsafeeq", "nullsafeneq", "greatest", "least", "extract"), 4),
    **dict.fromkeys(("quarter", "window", "count", "concat", "concatws"), 6),
    **dict.fromkeys(("round", "log", "cast", "trycast", "cbrt", "datediff", "date"), 12),
}


def parse_sql(text: str) -> exp.Expr:
    """Syntax tree of one SQL scalar, aggregate or window expression.

    Names are quoted with ``"`` or backticks.

    Raises
    ------
    ExpressionError
        With the offset, for statements, subqueries, placeholders, unknown functions and syntax errors.
    """
    if len(text) > MAX_TEXT:
        msg = f"the expression has {len(text):,} characters; at most {MAX_TEXT:,} are read"
        raise ExpressionError(msg)
    tree = _parsed(text)
    _check(tree, text)
    return tree


@functools.cache
def handlers() -> dict[str, tuple[Handler, str]]:
    """Key of a sqlglot node → how it is compiled, and the arguments that are understood."""
    from laktory.expressions import sql_aggregates, sql_casts, sql_dates, sql_functions, sql_operators

    modules = (sql_operators, sql_functions, sql_casts, sql_dates, sql_aggregates)
    return {key: entry for module in modules for key, entry in module.HANDLERS.items()}


def _parsed(text: str) -> exp.Expr:
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    dialect = reader("duckdb")
    try:
        tokens = dialect.tokenize(text)
        trees = dialect.parser().parse_into(exp.Expr, tokens, text)
    except SqlglotError as error:
        raise _located(error, text) from None
    except RecursionError:
        msg = "the expression is nested too deeply"
        raise ExpressionError(msg) from None
    except Exception:  # noqa: BLE001 - sqlglot's parser stumbles over some malformed texts with errors of its own
        msg = f"not a valid SQL expression: {shortened(text)!r}"
        raise ExpressionError(msg) from None
    if tokens and tokens[-1].text.upper() == "AS":
        msg = "a name is missing after AS"
        raise ExpressionError(msg, offset=tokens[-1].start)
    _refuse_order_of_nulls(tokens)
    found = [tree for tree in trees if tree is not None]
    if len(found) != 1:
        msg = "one expression is expected, but several are separated by ';'" if found else "the expression is empty"
        raise ExpressionError(msg, offset=max(text.find(";"), 0))
    return _renamed(found[0])


def _refuse_order_of_nulls(tokens: Any) -> None:
    """In the tree it cannot be told from no word about NULLs."""
    for before, word, place in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if word.text.upper() == "NULLS" and place.text.upper() in {"FIRST", "LAST"}:
            first, descending = place.text.upper() == "FIRST", before.text.upper() == "DESC"
            if first == descending:
                msg = "in ORDER BY, NULL is the smallest value on every engine: it is first, and with DESC last"
                raise ExpressionError(msg, offset=word.start)


def _located(error: Any, text: str) -> ExpressionError:
    details: dict[str, Any] = next(iter(getattr(error, "errors", None) or []), {})
    highlight = details.get("highlight")
    if not highlight:
        return ExpressionError(
            f"not a valid SQL expression: {shortened(text)!r} has an unfinished text, name or comment"
        )
    lines = text.splitlines(keepends=True) or [""]
    line = min(details.get("line") or 1, len(lines))
    offset = sum(map(len, lines[: line - 1])) + (details.get("col") or 1) - len(highlight)
    first = highlight.upper()
    if not text[:offset].strip() and first in {
        "SELECT",
        "WITH",
        "INSERT",
        "UPDATE",
        "DELETE",
        "DROP",
        "CREATE",
        "ALTER",
        "MERGE",
    }:
        return ExpressionError(f"an expression is expected, not a statement ({first} …)", offset=offset)
    description = str(details.get("description") or "")
    wanted = f"; {description[0].lower()}{description[1:]}" if description.startswith(("Expecting", "Expected")) else ""
    return ExpressionError(
        f"not a valid SQL expression: unexpected {highlight!r}{wanted}", offset=max(0, min(offset, len(text)))
    )


def _renamed(tree: exp.Expr) -> exp.Expr:
    """Give the functions that sqlglot does not know, but this grammar does, their nodes."""
    from sqlglot import exp

    def rename(node: Any) -> Any:
        target = _ALIASES.get(str(node.this).lower()) if isinstance(node, exp.Anonymous) else None
        if target is None:
            return node
        arguments = list(node.expressions)
        if target == "if" and len(arguments) in {2, 3}:
            return exp.If(**dict(zip(("this", "true", "false"), arguments, strict=False)))
        if target == "extract" and len(arguments) == 2 and arguments[0].is_string:
            return exp.Extract(this=exp.Var(this=arguments[0].name), expression=arguments[1])
        if target == "currenttimestamp" and not arguments:
            return exp.CurrentTimestamp()
        made = {"avg": exp.Avg, "logicaland": exp.LogicalAnd, "date": exp.Date, "isinf": exp.IsInf}.get(target)
        if made is None or len(arguments) != 1:
            refuse(f"{node.this.upper()} does not take {len(arguments)} arguments", node)
        return made(this=arguments[0])

    renamed: exp.Expr = tree.transform(rename)
    return renamed


def _check(tree: exp.Expr, text: str) -> None:
    """Refuse what is not part of the grammar, before anything is compiled."""
    known = handlers()
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        _note_name(node, text)
        if count > MAX_NODES or depth > MAX_DEPTH:
            msg = f"the expression is too large: at most {MAX_NODES:,} parts, nested {MAX_DEPTH} deep"
            raise ExpressionError(msg, offset=_offset_of(node, text))
        _check_node(node, text, known)
        for child in node.iter_expressions():
            chained = child.key == node.key and node.key in {"and", "or", "dpipe"}
            waiting.append((child, depth if chained else depth + 1))
    if _size(tree) > MAX_SIZE:
        msg = "the expression is too large once it is compiled; compute parts of it in a step before"
        raise ExpressionError(msg)


def _size(tree: exp.Expr) -> float:
    """How large the compiled form may become."""
    sizes: dict[int, float] = {}
    for node in reversed(list(tree.walk())):
        below = sum(sizes[id(child)] for child in node.iter_expressions())
        uses: float = _USES.get(node.key, 1)
        if node.key in {"greatest", "least"}:
            uses = 2.5 ** math.ceil(math.log2(len(node.expressions) + 1))
        elif node.key == "dpipe":
            below = sum(sizes[id(child)] * (1 if child.key == "dpipe" else 6) for child in node.iter_expressions())
        elif node.key == "case" and len(node.args["ifs"]) > MAX_BRANCHES:
            refuse(f"CASE has more than {MAX_BRANCHES} branches", node)
        elif node.key == "coalesce":
            below += sizes[id(node.this)] + len(node.expressions)
        elif node.key == "in" or (node.key == "case" and node.this is not None):
            below += sizes[id(node.this)] * len(node.args.get("ifs") or node.expressions)
        sizes[id(node)] = 1 + uses * below
    return sizes[id(tree)]


def _check_node(node: Any, text: str, known: dict[str, tuple[Handler, str]]) -> None:
    from sqlglot import exp

    def fail(message: str) -> None:
        raise ExpressionError(message, offset=_offset_of(node, text))

    if node.key in _PARTS or (isinstance(node, (exp.Star, exp.Distinct)) and isinstance(node.parent, exp.AggFunc)):
        return
    if node.key not in known and node.key not in _WINDOW_ONLY:
        name = _called(node, text)
        if name is not None and node.key not in _REFUSED:
            # what sqlglot knows was not misspelled
            guess = closest(name, _FUNCTIONS.split()) if isinstance(node, exp.Anonymous) else None
            hint = _INSTEAD.get(name.lower()) or guess or "an SQL step may have it"
            fail(f"the function {name} is not available in an SQL expression; {hint}")
        fail(_REFUSED.get(node.key, f"{shortened(node.sql('duckdb'))!r} is not available in an SQL expression"))
    if node.key in _WINDOW_ONLY and not isinstance(node.parent, exp.Window):
        fail(f"{call_name(node)} needs OVER (…)")
    if isinstance(node, exp.Alias) and (node.parent is not None or not _has_as(node, text)):
        fail(f"unexpected {node.alias!r}; a name for the result is written at the end: … AS {node.alias}")
    if isinstance(node, exp.Column) and re.fullmatch(r"\*|\^.*\$", node.parts[0].name, re.DOTALL):
        fail(f"a column named {node.parts[0].name!r} cannot be used: the engines read such a name as a pattern")
    read = _WINDOW_ONLY.get(node.key) or known[node.key][1]
    extra = [name for name, value in node.args.items() if value and name not in {*read.split(), *_NOTES}]
    if extra:
        fail(f"this form of {call_name(node)} is not available in an SQL expression ({extra[0].replace('_', ' ')})")


def _called(node: Any, text: str) -> str | None:
    """The name of a function that is called; None if the node is no call."""
    from sqlglot import exp

    if not isinstance(node, exp.Func):
        return None
    name = call_name(node)
    return name if re.search(rf"(?i)\b{re.escape(name)}\s*\(", text) else None


def _note_name(node: Any, text: str) -> None:
    """Messages name a function as it was written; sqlglot may know it by another name."""
    from sqlglot import exp

    if isinstance(node, exp.Func) and not isinstance(node, exp.Anonymous) and "start" in node.meta:
        written = text[node.meta["start"] : node.meta["end"] + 1]
        if written.isidentifier():
            node.meta["written"] = written.upper()


def _has_as(node: Any, text: str) -> bool:
    alias = node.args["alias"]
    if alias is None:  # what sqlglot makes of two colons apart
        return False
    start = alias.meta.get("start")
    return start is not None and re.search(r"(?i)\bas\s*$", text[:start]) is not None


def _offset_of(node: Any, text: str) -> int | None:
    from sqlglot import exp

    if isinstance(node, exp.Func):
        names = {str(node.this)} if isinstance(node, exp.Anonymous) else set(node.sql_names())
        match = re.search(rf"(?i)\b(?:{'|'.join(map(re.escape, names))})\s*\(", text)
        if match:
            return match.start()
        if "start" in node.meta:
            return _visible(node.meta["start"], text)
    starts = [part.meta["start"] for part in node.find_all(exp.Identifier) if "start" in part.meta]
    return _visible(min(starts, default=None), text)


def _visible(offset: int | None, text: str) -> int | None:
    return None if offset is None or offset > len(text) else offset


def shortened(text: str) -> str:
    """A text for a message."""
    return text if len(text) <= 60 else text[:59] + "…"
