"""SQL statements of transformer steps: the guard that lets only plain queries through.

Pure functions on text. What sqlglot and an engine could read differently
is refused: otherwise a part of the statement that the guard takes for a text could be code for the engine.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import Problem, closest
from laktory.expressions.misread import misread
from laktory.expressions.names import misnamed, needs_columns
from laktory.expressions.placeholders import Statement, bind, folded, line_column, placeholders
from laktory.expressions.reader import reader, silence, tokens_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

__all__ = ["fragment_problems", "names_problem", "statement_problems"]

_PIECES = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|`[^`]*`|--[^\n]*|/\*.*?\*/|/\*|.", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]|\r(?!\n)")
_DOUBTFUL = {
    "/*!": "a comment that begins with '/*!' is code for some engines; begin it with '/*'",
    "{#": "'{#' is not SQL",
    "{{": "'{{' is not SQL; templates are written as '${vars.name}'",
    "{%": "'{%' is not SQL; templates are written as '${vars.name}'",
    "$": "'$' outside quotes is not allowed; a step has no parameters, and names with '$' go in double quotes",
}

MAX_SQL_DEPTH = 500
"""Engines take time that grows with the square of the depth, or more, and stop at 1,000."""

TABLE_FUNCTIONS = frozenset(
    {
        "explode", "explode_outer", "generate_series", "inline", "inline_outer", "json_each", "json_tree",
        "posexplode", "posexplode_outer", "range", "repeat", "repeat_row", "stack", "unnest",
    }
)  # fmt: skip
"""Functions allowed where a table stands: they make rows of values."""

_FILE_PREFIXES = ("parquet_", "read_", "scan_", "sniff_")
_FILE_FUNCTIONS = frozenset({"cloud_files", "glob", "delta_scan", "iceberg_scan", "parquet_scan", "sqlite_scan"})
_STATE_PREFIXES = ("duckdb_", "pg_get_", "pragma_", "write_")
_STATE_FUNCTIONS = frozenset(
    {
        "arrow_scan", "checkpoint", "current_query", "current_setting", "currval", "force_checkpoint", "getenv",
        "getvariable", "http_request", "java_method", "json_execute_serialized_sql", "json_serialize_plan",
        "list_secrets", "nextval", "pandas_scan", "pg_sleep", "python_map_function", "query", "query_table",
        "reflect", "remote_query", "secret", "seq_scan", "set_config", "setseed", "setval", "sleep_ms",
        "sql_auto_complete", "try_reflect", "try_secret", "txid_current", "which_secret",
    }
)  # fmt: skip

_STATEMENTS = (
    "Alter", "Analyze", "Attach", "Cache", "Command", "Comment", "Commit", "Copy", "Create", "Declare",
    "Delete", "Describe", "Detach", "Drop", "Execute", "Export", "Grant", "Insert", "Install", "Into", "Kill",
    "LoadData", "Merge", "Pragma", "QueryTransform", "Refresh", "Revoke", "Rollback", "Set", "Show",
    "Summarize", "Transaction", "TruncateTable", "Uncache", "Update", "Use",
)  # fmt: skip

_QUERY_WORDS = frozenset(
    {
        "SELECT", "FROM", "TABLE", "VALUES", "WITH", "UNION", "INTERSECT", "EXCEPT", "JOIN", "LATERAL", "PIVOT",
        "UNPIVOT", "DESCRIBE", "SUMMARIZE", "SHOW", "CALL", ";",
    }
)  # fmt: skip

_PATH_MARK = re.compile(r"[./\\:*?\[]")
_RESERVED_NAME = re.compile(rf"{_PATH_MARK.pattern}|(?i:^(laktory_|__))")

_FILES_HINT = "declare the file as a source and write {sources.name}"


# ---- the guard -----------------------------------------------------------------------------------


def statement_problems(
    text: str,
    dialect: str = "duckdb",
    available: Collection[str] | None = None,
    *,
    files: bool = False,
    misreads: frozenset[str] = frozenset(),
) -> list[Problem]:
    """What keeps a statement from being run as a step; needs no data.

    Parameters
    ----------
    text : the statement, placeholders included
    dialect : sqlglot dialect of the engine
    available : placeholder keys that exist, None to accept any
    files : let table positions name files (``'x.csv'``, ``read_csv(…)``)
    misreads : what the engine takes for something else, see `Capabilities`
    """
    if not text.strip():
        return [Problem("the SQL text is empty", hint="write one query, e.g. SELECT * FROM {df}")]
    control = _CONTROL.search(text)
    if control:
        message = f"the SQL text holds a control character, {control[0]!r}, that is not allowed"
        return [_at(message, line_column(text, control.start()))]
    problems = [] if available is None else _unknown_placeholders(text, available)
    return problems or list(_guarded(text, dialect, files=files, misreads=misreads)[0])


@lru_cache(maxsize=10_000)  # the plan judges a statement, and the run that follows
def _guarded(
    text: str, dialect: str, *, files: bool = False, misreads: frozenset[str] = frozenset()
) -> tuple[tuple[Problem, ...], bool]:
    """What is wrong, and whether more can be once the columns of the tables are known."""
    statement = bind(text)
    tokens = tokens_of(statement.sql)
    if tokens is None:
        return (_unclosed(text),), False
    problems = [*_doubts(statement, tokens), *_denied_calls(statement, tokens, files=files)]
    # before it is parsed: compiled sqlglot runs out of stack
    if not problems and _brackets(statement.sql, tokens) > MAX_SQL_DEPTH:
        problems = [_too_deep()]
    if problems:
        return tuple(problems), False
    problems, root = _tree_problems(statement, tokens, dialect, files=files, misreads=misreads)
    return tuple(problems), root is not None and not problems and needs_columns(root)


def names_problem(
    text: str, dialect: str, columns: Callable[[], Mapping[str, Sequence[str]]], **options: Any
) -> Problem | None:
    """What is wrong with names of a statement's result, as the columns of its tables show.

    Parameters
    ----------
    text : has no `statement_problems` with the same dialect and options
    columns : gives the columns of each placeholder, where they are needed
    """
    if not _guarded(text, dialect, **options)[1]:
        return None
    statement = bind(text)
    tables = {statement.names[key]: names for key, names in columns().items()}
    return next(iter(_misnamed(reader("duckdb").parse(statement.sql)[0], statement, tables)), None)


def fragment_problems(text: str) -> list[Problem]:
    """What keeps a piece of SQL (a predicate, a list of columns) from being given to a method of an engine: a query in
    it, and calls of what reads files or state."""
    if _CONTROL.search(text):
        return [Problem("the SQL text holds a control character that is not allowed")]
    statement = Statement(text, text, {})
    tokens = tokens_of(text)
    if tokens is None:
        return [_unclosed(text)]
    problems = [*_doubts(statement, tokens), *_denied_calls(statement, tokens, files=False)]
    for token in tokens:
        if token.text.upper() in _QUERY_WORDS and text[token.start] not in "\"'`":
            message = f"{token.text.upper()!r} is not allowed here: this text is a piece of SQL, not a query"
            problems.append(_at(message, statement.place(token.start), "write a SQL step ('expr') instead"))
    return problems


def _unclosed(text: str) -> Problem:
    """Where the quote or comment begins that is not closed."""
    begun = next((found for found in _PIECES.finditer(text) if found[0] in ("'", '"', "`", "/*")), None)
    place = None if begun is None else line_column(text, begun.start())
    return _at("the SQL text cannot be read: a quote or a comment is not closed", place)


def _unknown_placeholders(text: str, available: Collection[str]) -> list[Problem]:
    problems = []
    for key, start, _ in placeholders(text):
        if key in available:
            continue
        shown = [f"{{{name}}}" for name in available] or "no frame: the node has no source"
        line, column = line_column(text, start)
        hint = closest(f"{{{key}}}", [f"{{{name}}}" for name in available])
        problems.append(Problem(f"nothing is named {{{key}}} here", (), shown, hint, line=line, column=column))
    return problems


def _doubts(statement: Statement, tokens: Iterable[Token]) -> Iterator[Problem]:
    """Places that sqlglot and an engine may read differently."""
    from sqlglot.tokenizer_core import TokenType

    sql = statement.sql
    quoted = {
        TokenType.STRING,
        TokenType.IDENTIFIER,
        TokenType.HEREDOC_STRING,
        TokenType.BYTE_STRING,
        TokenType.HEX_STRING,
        TokenType.BIT_STRING,
        TokenType.NATIONAL_STRING,
        TokenType.RAW_STRING,
    }
    bare = list(sql)
    for token in tokens:
        if token.token_type in quoted:
            bare[token.start : token.end + 1] = " " * (token.end + 1 - token.start)
            prefix = re.search(r"[\w$@&]*$", sql[: token.start])
            literal = sql[token.start : token.end + 1]
            prefixed = (prefix[0] if prefix else "") or re.match(r"[A-Za-z&]*", literal)[0]  # type: ignore[index]
            same = prefixed.lower() in ("", "e")  # E'…' has the same escapes everywhere
            if not same and ("\\" in literal or prefixed.lower() in ("q", "nq", "u&") or literal.startswith("$")):
                yield _at(f"a text may not begin with {prefixed}'…", statement.place(token.start), "write it as '…'")
        elif any(char.isspace() for char in token.text) and not token.text.isascii():
            yield _at("the SQL text holds an unusual blank", statement.place(token.start), "replace it by a space")
    masked = "".join(bare)
    for mark, message in _DOUBTFUL.items():
        if (offset := masked.find(mark)) >= 0:
            yield _at(message, statement.place(offset))


def _denied_calls(statement: Statement, tokens: list[Token], *, files: bool) -> Iterator[Problem]:
    for token, following in pairwise(tokens):
        if following.text != "(":
            continue
        name = token.text.strip().lower()
        if name.startswith(_FILE_PREFIXES) or name in _FILE_FUNCTIONS:
            if not files:
                message = f"function {name!r} is not allowed: a step reads no files"
                yield _at(message, statement.place(token.start), _FILES_HINT)
        elif name.startswith(_STATE_PREFIXES) or name in _STATE_FUNCTIONS:
            message = f"function {name!r} is not allowed: a step works on its frames only"
            yield _at(message, statement.place(token.start))


def _tree_problems(
    statement: Statement, tokens: list[Token], dialect: str, *, files: bool, misreads: frozenset[str]
) -> tuple[list[Problem], exp.Expr | None]:
    from sqlglot import ErrorLevel, exp
    from sqlglot.errors import SqlglotError

    try:
        # statements that it does not know become Commands, which are refused with a message of ours
        with silence():
            read = reader(dialect)
            read_before = tokens if read is reader("duckdb") else read.tokenize(statement.sql)
            trees = read.parser(error_level=ErrorLevel.IMMEDIATE).parse(read_before, statement.sql)
    except (SqlglotError, RecursionError) as error:
        return [_not_understood(statement, error)], None
    roots = [tree for tree in trees if tree is not None and not isinstance(tree, exp.Semicolon)]
    if len(roots) != 1:
        found = f"{len(roots)} statements" if roots else "only comments"
        ends = [index for index, token in enumerate(tokens[:-1]) if token.text == ";"] if roots else []
        place = statement.place(tokens[ends[0] + 1].start) if ends else None
        hint = "write one step per query, or use WITH"
        return [_at(f"a step holds exactly one query, found {found}", place, hint)], None
    (root,) = roots
    levels = _levels(root)
    if len(levels) > MAX_SQL_DEPTH:
        return [_too_deep()], None
    if not isinstance(root, (exp.Query, exp.Values, exp.Pivot)) or isinstance(root, _forbidden()):
        first = statement.sql[tokens[0].start : tokens[0].end + 1]
        found = f"{statement.in_user_words(first)!r}" if first in statement.names.values() else f"{first.upper()!r}"
        place = statement.place(tokens[0].start) if "\n" in statement.text else None
        message = f"a step is one query, which begins with SELECT, WITH, FROM or VALUES; found {found}"
        return [_at(message, place)], None
    nodes = [node for level in levels for node in level]
    judged: tuple[Any, ...] = (exp.Where, exp.Table, exp.CTE, exp.Lateral, exp.From, exp.Join, *_forbidden())
    doubtful = (node for node in nodes if isinstance(node, judged))
    problems = [problem for node in doubtful for problem in _node_problems(node, statement, files=files)]
    for each in nodes if misreads else ():
        if (wrong := misread(each, misreads)) is not None:
            message, hint, shown = wrong
            named = next((part for part in shown.walk() if "start" in part.meta), shown)
            problems.append(_at(message, _place(named, statement), hint))
    return problems or _misnamed(root, statement, {}), root


def _misnamed(root: exp.Expr | None, statement: Statement, tables: Mapping[str, Sequence[str]]) -> list[Problem]:
    found = misnamed(root, tables) if root is not None else None
    if found is None:
        return []
    message, hint = statement.in_user_words(str(found)), statement.in_user_words(found.hint)
    return [_at(message, _place(found.node, statement), hint)]


def _node_problems(node: exp.Expr, statement: Statement, *, files: bool) -> Iterator[Problem]:
    from sqlglot import exp

    if isinstance(node, _forbidden()):
        word = _keyword(node)
        found = next((token for token in tokens_of(statement.sql) or () if token.text.upper() == word), None)
        yield _at(f"a step only queries, found {word}", None if found is None else statement.place(found.start))
    elif isinstance(node, exp.Where) and (aggregate := _aggregate_in(node)) is not None:
        message = f"WHERE judges each row, and {_shown(aggregate)} is one value of all rows"
        yield _at(statement.in_user_words(message), _place(aggregate, statement), "write it in HAVING or in a subquery")
    elif isinstance(node, exp.Table):
        yield from _table_problems(node, statement, files=files)
    elif isinstance(node, exp.CTE):
        yield from _name_problems(node, statement)
    elif isinstance(node, exp.Lateral):
        if not isinstance(node.this, (exp.Subquery, exp.Unnest)) and _function(node.this) not in TABLE_FUNCTIONS:
            yield _no_table_function(node.this, statement, files=files)
    elif isinstance(node, (exp.From, exp.Join)):
        known = (exp.Table, exp.Subquery, exp.Unnest, exp.Lateral, exp.Values, exp.Paren, exp.Query)
        if not isinstance(node.this, known):
            yield Problem(f"{_shown(node.this)} cannot stand where a table is expected", hint="write {df}")


def _aggregate_in(where: exp.Expr) -> exp.Expr | None:
    """An aggregate that is neither in a subquery nor over a window; some engines spread it over all rows."""
    from sqlglot import exp

    waiting: list[Any] = [where.this]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.AggFunc):
            return node
        if not isinstance(node, (exp.Query, exp.Window, exp.Lambda)):
            waiting.extend(node.iter_expressions())
    return None


def _too_deep() -> Problem:
    message = f"the query is nested too deeply: at most {MAX_SQL_DEPTH:,} operators and brackets in one another"
    return Problem(message, hint="write IN (…) instead of a chain of OR, or use several steps")


def _brackets(sql: str, tokens: Iterable[Token]) -> int:
    depth = deepest = 0
    for token in tokens:
        first = sql[token.start]
        depth += (first in "([{") - (first in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _levels(root: exp.Expr) -> list[list[exp.Expr]]:
    """The nodes of a tree by their depth."""
    levels: list[list[Any]] = []
    level: list[Any] = [root]
    while level:
        levels.append(level)
        level = [child for node in level for child in node.iter_expressions()]
    return levels


def _name_problems(cte: exp.CTE, statement: Statement) -> Iterator[Problem]:
    """A name that could be a file or a frame is never hidden by WITH: where it ends, the engine would find that."""
    alias = cte.args["alias"].this if cte.args.get("alias") else None
    if alias is None or not _RESERVED_NAME.search(alias.name):
        return
    name = statement.in_user_words(alias.name)
    hint = "take a name of letters, digits and '_', such as WITH recent AS (…)"
    kind = "names a file" if _PATH_MARK.search(alias.name) else "is reserved"
    yield _at(f"{name!r} {kind}: it cannot be a name in WITH", _place(alias, statement), hint)


def _table_problems(table: exp.Table, statement: Statement, *, files: bool) -> Iterator[Problem]:
    from sqlglot import exp

    name = table.this
    if not isinstance(name, exp.Identifier):
        if _function(name) in TABLE_FUNCTIONS:
            return
        if not (files and _is_file_function(name)):
            yield _no_table_function(name, statement, files=files)
        return
    written = ".".join(part.name for part in table.parts)
    if not table.args.get("db"):
        if name.name in statement.names.values() or folded(name.name) in _ctes_in_scope(table):
            return
        if files and name.args.get("quoted") and re.search(r"[./\\]", written):
            return
    written = statement.in_user_words(written)
    hint = closest(written, _ctes_in_scope(table)) or (
        f"write {{nodes.{written}}} or {{sources.{written}}}"
        if written.isidentifier() and written.lower() != "df"
        else "write {df} or {nodes.name}"
    )
    if re.search(r"[/\\:*]|\.\w+$", written) and name.args.get("quoted"):
        yield _at(f"{written!r} names a file: a step reads no files", _place(name, statement), _FILES_HINT)
    else:
        yield _at(f"table {written!r} is not a placeholder nor defined by WITH", _place(name, statement), hint)


def _no_table_function(node: Any, statement: Statement, *, files: bool) -> Problem:
    name = _function(node)
    if name and (name.startswith(_FILE_PREFIXES) or name in _FILE_FUNCTIONS) and not files:
        return _at(f"function {name!r} is not allowed: a step reads no files", _place(node, statement), _FILES_HINT)
    message = f"{name + '(…)' if name else _shown(node)} cannot stand where a table is expected"
    valid = sorted(TABLE_FUNCTIONS)
    return Problem(message, (), ["{df}", *(f"{item}(…)" for item in valid)])


def _ctes_in_scope(table: exp.Expr) -> set[str]:
    """Names of WITH that the engine resolves here; a later or unrelated one would be a file or table to it."""
    from sqlglot import exp

    names: set[str] = set()
    passed: list[exp.Expr] = [table]
    while (parent := passed[-1].parent) is not None:
        if isinstance(parent, exp.With):
            for cte in parent.expressions:
                if cte is not passed[-1]:
                    names.add(folded(cte.alias))
                    continue
                if parent.args.get("recursive") and any(node is _step_of(cte) for node in passed):
                    names.add(folded(cte.alias))
                break
        else:
            clause = parent.args.get("with_")
            if clause is not None and clause is not passed[-1]:
                names.update(folded(cte.alias) for cte in clause.expressions)
        passed.append(parent)
    return names


def _step_of(cte: exp.Expr) -> exp.Expr | None:
    """The part of WITH RECURSIVE that may read its own name: the right side of the outermost UNION."""
    from sqlglot import exp

    body = cte.this
    return body.expression if isinstance(body, exp.Union) and not body.args.get("by_name") else None


def _is_file_function(node: Any) -> bool:
    name = _function(node)
    return name.startswith(_FILE_PREFIXES) or name in _FILE_FUNCTIONS


def _function(node: Any) -> str:
    """Lower-case name of a function call, or nothing."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.name).strip().lower()
    return node.sql_name().lower() if isinstance(node, exp.Func) else ""


# ---- sqlglot -------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _forbidden() -> tuple[type[exp.Expr], ...]:
    from sqlglot import exp

    return tuple(getattr(exp, name) for name in _STATEMENTS if hasattr(exp, name))


def _not_understood(statement: Statement, error: Exception) -> Problem:
    details: list[dict[str, Any]] = getattr(error, "errors", [])
    if not details or not details[0].get("line"):
        return Problem("the SQL text cannot be understood", hint="write one plain query")
    first = details[0]
    near = str(first.get("highlight") or "")
    place = statement.place_of(int(first["line"]), max(1, int(first["col"]) - len(near) + 1))
    message = f"the SQL text cannot be understood near {statement.in_user_words(near)!r}"
    return _at(
        message, place, "check the words before it; a construct only the engine knows must be written another way"
    )


def _keyword(node: exp.Expr) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()


def _shown(node: Any) -> str:
    text = node.sql() if hasattr(node, "sql") else str(node)
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _place(node: Any, statement: Statement) -> tuple[int, int] | None:
    start = node.meta.get("start") if hasattr(node, "meta") else None
    return statement.place(start) if start is not None else None


def _at(message: str, place: tuple[int, int] | None, hint: str | None = None) -> Problem:
    line, column = place or (None, None)
    return Problem(message, hint=hint, line=line, column=column)
