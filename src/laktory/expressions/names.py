"""Names of the columns that a query gives, to refuse a name that it gives twice: engines invent other names for one."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from laktory.diagnostics import closest
from laktory.expressions.reader import reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlglot import exp

__all__ = ["Misnamed", "columns_of_query", "misnamed", "needs_columns", "without_second_keys"]

Names = list[str | None]
"""None stands for columns whose names or number cannot be told from the statement."""


class _Source(NamedTuple):
    """What stands after FROM or JOIN: its alias, its columns, and those of them that ``*`` leaves out."""

    alias: str
    names: Names
    hidden: frozenset[str] = frozenset()


_INVENTED = re.compile(r"(.+)(?:_|:)\w+")


class Misnamed(Exception):  # noqa: N818 - found while reading a tree, told by the caller
    """A name is given twice, a column is asked for by it, or ``*`` is told of one that is not there.

    Attributes
    ----------
    hint : what to write instead
    node : the expression at fault, or the part of it that knows its place
    """

    def __init__(self, message: str, hint: str, node: exp.Expr) -> None:
        super().__init__(message)
        self.hint = hint
        self.node = next((part for part in node.walk() if "start" in part.meta), node)


def needs_columns(root: exp.Expr) -> bool:
    """Whether `misnamed` could find more in a statement once it is told the columns of the tables."""
    from sqlglot import exp

    return any(
        any(
            item.is_star and (len(select.expressions) > 1 or _told(item) or any(_joins(select)))
            for item in select.expressions
        )
        for select in root.find_all(exp.Select)
    )


def misnamed(root: exp.Expr, tables: Mapping[str, Sequence[str]]) -> Misnamed | None:
    """The first name that the result of a query has twice, or that it takes from a subquery which has it twice, or that
    EXCLUDE, RENAME or REPLACE name in vain: some engines pass over it, and keep the column that was meant.

    Parameters
    ----------
    root : a statement
    tables : columns of the tables that are known; names are compared letter by letter
    """
    known: dict[str, Names] = {name.casefold(): list(columns) for name, columns in tables.items()}
    try:
        _result(root, known)
    except Misnamed as found:
        return found
    return None


def columns_of_query(root: exp.Expr, tables: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Names of the columns of the result in order, None where they cannot be told.

    Parameters
    ----------
    root : a statement
    tables : columns of the tables that are known
    """
    try:
        names = _columns(root, {name.casefold(): list(columns) for name, columns in tables.items()})
    except Misnamed:
        return None
    told = [name for name in names if name is not None]
    return told if len(told) == len(names) else None


def without_second_keys(sql: str, named: Callable[[str, str], str]) -> tuple[str, set[str]]:
    """A statement in which ``*`` leaves out the columns that an engine adds for keys of the right tables.

    For engines that know neither that USING joins two keys into one, nor that EXCLUDE means both columns of a name;
    they take no offence at names in EXCLUDE that are not there.

    Parameters
    ----------
    sql : a statement that the guard let through
    named : name that the engine gives to a key of a right table, from both names

    Returns
    -------
    the statement, and the names left out
    """
    from sqlglot import exp

    edits: list[tuple[int, str]] = []
    left_out: set[str] = set()
    for select in reader("duckdb").parse(sql)[0].find_all(exp.Select):  # type: ignore[union-attr]
        star = next((item for item in select.expressions if isinstance(item, exp.Star)), None)
        if star is None:
            continue
        excluded = star.args.get("except_") or ()
        names = [
            named(name, table)
            for table, keys in _right_tables(select)
            for name in (*keys, *(item.name for item in excluded))
        ]
        if names:
            left_out.update(names)
            edits += _leaving_out(sql, star, excluded, ", ".join(exp.to_identifier(name, True).sql() for name in names))
    for place, text in sorted(edits, reverse=True):
        sql = sql[:place] + text + sql[place:]
    return sql, left_out


def _leaving_out(sql: str, star: exp.Expr, excluded: Sequence[exp.Expr], names: str) -> list[tuple[int, str]]:
    start, end = star.meta["start"], star.meta["end"] + 1
    if sql[start] != "*":  # FROM without SELECT
        return [(start, f"SELECT * EXCLUDE ({names}) ")]
    if not excluded:
        return [(end, f" EXCLUDE ({names})")]
    first = excluded[0].this.meta
    if "(" in sql[end : first["start"]]:
        return [(first["start"], f"{names}, ")]
    return [(first["start"], f"({names}, "), (first["end"] + 1, ")")]


def _right_tables(select: exp.Expr) -> Iterator[tuple[str, list[str]]]:
    """Name of each table that a SELECT joins, and the keys of its USING. SEMI and ANTI joins add no columns."""
    for join in _joins(select):
        if _adds_columns(join):
            yield join.this.alias_or_name, [key.name for key in join.args.get("using") or ()]


def _result(query: exp.Expr, known: Mapping[str, Names]) -> None:
    """Raise if the outermost query gives a name twice."""
    names = _columns(query, known)
    if not (twice := _twice(names)):
        return
    first = _first_select(query)
    shown = " and ".join(map(repr, twice[:3])) + (f" and {len(twice) - 3} more" if len(twice) > 3 else "")
    message = f"two columns of the result are named {shown}"
    naming = f"give one of them another name: … AS {twice[0]}_2"
    if any(item.is_star for item in first.expressions):
        keys = [name for name in twice if _is_joined_on(first, name)]
        last = next((f"{table}.* " for table, _ in _right_tables(first)), "* ")
        naming = f"leave one of them out: {last}EXCLUDE ({twice[0]}), or name the columns instead of '*'"
        naming = f"join with USING ({', '.join(keys)}), or name the columns instead of '*'" if keys else naming
    raise Misnamed(message, naming, _culprit(first, twice[0]))


def _columns(query: exp.Expr, known: Mapping[str, Names]) -> Names:
    from sqlglot import exp

    known = _with(query, known)
    if isinstance(query, exp.SetOperation):
        left, right = _columns(query.this, known), _columns(query.expression, known)
        return [*left, *(name for name in right if name not in left)] if query.args.get("by_name") else left
    if isinstance(query, exp.Subquery):
        return _columns(query.this, known) if isinstance(query.this, exp.Query) else [None]
    return _select(query, known) if isinstance(query, exp.Select) else [None]


def _with(query: exp.Expr, known: Mapping[str, Names]) -> Mapping[str, Names]:
    """`known` and what WITH defines; of a recursive one, the first part tells the names."""
    from sqlglot import exp

    clause = query.args.get("with_")
    if clause is None:
        return known
    known = dict(known)
    for cte in clause.expressions:
        name = cte.alias.casefold()
        body = cte.this
        if clause.args.get("recursive") and isinstance(body, exp.Union):
            known[name] = _renamed(cte, _columns(body.this, known))
        known[name] = _renamed(cte, _columns(body, known))
    return known


def _select(select: exp.Select, known: Mapping[str, Names]) -> Names:
    from sqlglot import exp

    if select.args.get("from_") is None:
        sources: list[_Source] = []
    else:
        sources = _sources(select.args["from_"].this, known)
        for join in select.args.get("joins") or ():
            sources = _joined(sources, join, known)
    if select.args.get("laterals"):
        sources.append(_Source("", [None]))
    _refuse_ambiguous(select, sources)
    for inner in _inner(select):
        _columns(inner, known)
    names: Names = []
    for item in select.expressions:
        star = item.this if isinstance(item, exp.Column) else item
        if isinstance(star, exp.Star):
            names += _expanded(star, item.args.get("table"), sources)
        elif isinstance(item, (exp.Alias, exp.Column, exp.Dot)) and not _is_several(item):
            names.append(item.output_name or None)
        else:
            names.append(None)
    return names


def _is_several(item: exp.Expr) -> bool:
    """Whether an expression may be several columns: COLUMNS, and UNNEST of a struct."""
    from sqlglot import exp

    return item.find(exp.Columns, exp.Explode, exp.Unnest) is not None


def _sources(table: exp.Expr, known: Mapping[str, Names]) -> list[_Source]:
    from sqlglot import exp

    alias = table.alias_or_name.casefold()
    if isinstance(table, exp.Subquery) and not isinstance(table.this, exp.Query):
        inner = _sources(table.this, known)
        found = inner if not table.alias else [_Source(alias, [None])]
    elif isinstance(table, exp.Subquery):
        found = [_Source(alias, _renamed(table, _columns(table, known)))]
    elif isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier) and not table.args.get("db"):
        found = [_Source(alias, _renamed(table, known.get(table.name.casefold(), [None])))]
    else:
        found = [_Source(alias, [None])]
    if table.args.get("pivots"):
        found = [_Source(alias, [None])]
    for join in table.args.get("joins") or ():
        found = _joined(found, join, known)
    return found


def _joined(sources: list[_Source], join: exp.Join, known: Mapping[str, Names]) -> list[_Source]:
    if not _adds_columns(join):
        return sources
    added = _sources(join.this, known)
    keys = {key.name.casefold() for key in join.args.get("using") or ()}
    for key in join.args.get("using") or ():
        for alias, names, _ in [*sources, *added]:
            if key.name in _twice(names):
                raise _ambiguous(key, key.name, alias)
    if join.method == "NATURAL":
        if any(None in names for _, names, _ in [*sources, *added]):
            return [*sources, _Source("", [None])]
        keys = {name.casefold() for _, names, _ in sources for name in names if name}
    return [*sources, *(one._replace(hidden=one.hidden | keys) for one in added)]


def _adds_columns(join: exp.Join) -> bool:
    return join.kind not in {"SEMI", "ANTI"}


def _joins(select: exp.Expr) -> Iterator[Any]:
    """Joins of a SELECT, those in brackets too."""
    waiting: list[Any] = [*(select.args.get("joins") or ()), select.args.get("from_")]
    while waiting:
        node = waiting.pop()
        if node is None or not hasattr(node, "args"):
            continue
        if type(node).__name__ == "Join":
            yield node
        inner = node.this
        if hasattr(inner, "args") and type(inner).__name__ in {"Table", "Subquery"}:
            waiting += [*(inner.args.get("joins") or ()), inner]


def _expanded(star: exp.Expr, table: exp.Expr | None, sources: list[_Source]) -> Names:
    told = [(item.name.casefold(), item.text("table").casefold()) for item in star.args.get("except_") or ()]
    others = [
        (item.this.name, item.this.text("table").casefold(), item.alias) for item in star.args.get("rename") or ()
    ]
    found: Names = []
    sources = [source for source in sources if table is None or table.name.casefold() == source.alias]
    _refuse_missing(star, [name for source in sources for name in source.names])
    for alias, names, hidden in sources:
        left_out = {name for name, of in told if of in {"", alias}} | (hidden if table is None else set())
        other = {name: new for name, of, new in others if of in {"", alias}}
        found += [name and other.get(name, name) for name in names if name is None or name.casefold() not in left_out]
    keys = {key for *_, hidden in sources for key in hidden}
    if star.args.get("ilike") or any(of and name.casefold() in keys for name, of, *_ in [*told, *others]):
        return [None]
    return found or [None]


def _told(star: exp.Expr) -> list[tuple[str, exp.Expr]]:
    """What EXCLUDE, RENAME and REPLACE of a star, with or without a table, are told of: word and name."""
    args = star.args if type(star).__name__ == "Star" else star.this.args
    renamed = [("RENAME", item.this) for item in args.get("rename") or ()]
    replaced = [("REPLACE", item.args["alias"]) for item in args.get("replace") or ()]
    return [*(("EXCLUDE", item) for item in args.get("except_") or ()), *renamed, *replaced]


def _refuse_missing(star: exp.Expr, names: Names) -> None:
    there = {name for name in names if name is not None}
    if not names or None in names:
        return
    for word, item in _told(star):
        if item.name not in there:
            hint = closest(item.name, sorted(there)) or f"columns: {', '.join(sorted(there)[:20])}"
            raise Misnamed(f"{word} names {item.name!r}, which is no column there", hint, item)


def _renamed(named: exp.Expr, names: Names) -> Names:
    """Columns below the names that an alias gives them: ``t (a, b)``."""
    from sqlglot import exp

    alias = named.args.get("alias")
    given = [column.name for column in alias.args.get("columns") or ()] if isinstance(alias, exp.TableAlias) else []
    return [*given, *([None] if None in names else names[len(given) :])] if given else names


def _refuse_ambiguous(select: exp.Select, sources: list[_Source]) -> None:
    """A column of a subquery that has it twice: one engine takes the first, others refuse or number them."""
    from sqlglot import exp

    doubled = [(alias, set(_twice(names)), names) for alias, names, _ in sources]
    if not any(twice for _, twice, _ in doubled):
        return
    given = {item.alias for item in select.expressions if isinstance(item, exp.Alias)}
    for column in _own(select):
        if not isinstance(column, exp.Column) or isinstance(column.this, exp.Star):
            continue
        for alias, twice, names in doubled:
            if column.table and column.table.casefold() != alias:
                continue
            name = column.name
            invented = _INVENTED.fullmatch(name)
            if invented and name not in names and name not in given:
                name = invented[1]
            if name in twice and (column.table or name not in given):
                raise _ambiguous(column, name, alias)


def _ambiguous(node: exp.Expr, name: str, alias: str) -> Misnamed:
    where = f" of {alias!r}" if alias else ""
    hint = f"name the columns in the subquery, one of them as … AS {name}_2, or join there with USING"
    return Misnamed(f"two columns{where} are named {name!r}", hint, node)


def _own(select: exp.Expr) -> Iterator[exp.Expr]:
    """Expressions of a query but not of queries in it."""
    from sqlglot import exp

    waiting = list(select.iter_expressions())
    while waiting:
        node = waiting.pop()
        if not isinstance(node, (exp.Query, exp.With)):
            yield node
            waiting.extend(node.iter_expressions())


def _inner(select: exp.Expr) -> list[exp.Expr]:
    """Queries that stand in expressions of a query, not where tables stand."""
    from sqlglot import exp

    found: list[exp.Expr] = []
    waiting = [item for key, value in select.args.items() if key not in {"from_", "joins", "with_"}
               for item in (value if isinstance(value, list) else [value]) if isinstance(item, exp.Expr)]  # fmt: skip
    waiting += [join.args["on"] for join in select.args.get("joins") or () if join.args.get("on")]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Query):
            found.append(node)
        else:
            waiting.extend(node.iter_expressions())
    return found


def _twice(names: Iterable[str | None]) -> list[str]:
    return [name for name, count in Counter(names).items() if name is not None and count > 1]


def _first_select(query: Any) -> Any:
    from sqlglot import exp

    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    return query


def _is_joined_on(select: exp.Expr, name: str) -> bool:
    """Whether a join of the query compares two columns of this name."""
    from sqlglot import exp

    return any(
        isinstance(node, exp.EQ) and node.this.name == name == node.expression.name
        for join in _joins(select)
        if join.side not in {"RIGHT", "FULL"}
        for node in (join.args["on"].walk() if join.args.get("on") else ())
    )


def _culprit(select: Any, name: str) -> exp.Expr:
    """The last expression that gives a name, else the last star."""
    from sqlglot import exp

    named = [
        item for item in select.expressions if isinstance(item, (exp.Alias, exp.Column)) and item.output_name == name
    ]
    stars = [item for item in select.expressions if item.is_star]
    found: exp.Expr = (named or stars or select.expressions)[-1]
    return found
