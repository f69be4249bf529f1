"""What can be wrong with a text, in words that name no parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from laktory.diagnostics import Position, Problem
from laktory.loading.nodes import MAX_COPIES, MAX_DEPTH, Node, Place, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    import yaml

__all__ = ["key_problems", "too_deep", "too_large", "yaml_problem"]

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# part of the parser's message → ours, and a hint
_REASONS: tuple[tuple[str, str, str | None], ...] = (
    (
        "mapping values are not allowed",
        "':' is not expected here",
        "quote a text that contains ': ', or check the indentation",
    ),
    ("sequence entries are not allowed", "a list item cannot start here", "put '- ' on its own line below the key"),
    (
        "could not find expected ':'",
        "a ':' is missing after this key",
        "write 'key: value', or indent a text as its first line",
    ),
    ("end of stream", "the quote opened here is never closed", None),
    (
        "unknown escape character",
        "unknown escape in a double-quoted text",
        "double the backslash, or use single quotes",
    ),
    ("escape code", "unknown escape in a double-quoted text", "double the backslash, or use single quotes"),
    ("escape sequence of 8", "unknown escape in a double-quoted text", "double the backslash, or use single quotes"),
    (
        "',' or ']'",
        "this '[' is not closed, or an item is not separated by ','",
        "quote items that contain '{', '}', '[' or ']'",
    ),
    ("',' or '}'", "this '{' is not closed, or an item is not separated by ','", "quote a text that starts with '{'"),
    ("undefined tag handle", "unknown tag", "tags are !use, !extend and !update"),
    ("incompatible YAML document", "this version of YAML is not supported", "remove the %YAML line"),
    ("document start", "text is not expected here", "a definition is one mapping, and '---' starts another document"),
)
_INDENT = "the line does not fit what stands above it"
_INDENT_HINT = "align it with its siblings; quote a text that starts with '{', '[', '*', '&' or '!'"


def too_deep(position: Position) -> Problem:
    """Nesting beyond the limit."""
    return Problem(f"mappings and lists stand more than {MAX_DEPTH} deep in one another", position=position)


def too_large(position: Position) -> Problem:
    """Aliases or includes that multiply."""
    return Problem(f"aliases and includes repeat more than {MAX_COPIES:,} values", position=position)


def key_problems(pairs: Iterable[tuple[Node, Node]]) -> list[Problem]:
    """Keys of one mapping that are written twice or can be none."""
    problems = []
    seen: dict[object, Node] = {}
    for key, _ in pairs:
        if key.pending or isinstance(key.value, (dict, list)):
            problems.append(
                Problem("a key must be a plain value, not a mapping, a list or an include", position=key.position)
            )
            continue
        first = seen.setdefault(key.value, key)
        if first is not key:
            message = f"key {key.value!r} is written twice, on line {first.start.line + 1} and here"
            problems.append(Problem(message, hint="remove one of them", position=key.position))
    return problems


def yaml_problem(file: SourceFile, error: yaml.YAMLError | UnicodeEncodeError) -> Problem:
    """Why a text is not YAML."""
    import yaml

    # where the text holds what no YAML may hold, the parser's own position is in bytes
    forbidden = _FORBIDDEN.search(file.text)
    if forbidden and not isinstance(error, yaml.MarkedYAMLError):
        row = file.text.count("\n", 0, forbidden.start())
        column = forbidden.start() - (file.text.rfind("\n", 0, forbidden.start()) + 1)
        message = f"character U+{ord(forbidden[0]):04X} is not allowed in YAML"
        return Problem(message, position=file.position(Place(row, column)))
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Problem("this is not YAML", position=Position(file.name, 1, 1))
    text, mark = error.problem or "", error.problem_mark
    line = file.lines[mark.line] if mark.line < len(file.lines) else ""
    if "tab" in text or line[mark.column : mark.column + 1] == "\t" or "\t" in line[: len(line) - len(line.lstrip())]:
        place = Place(mark.line, max(0, line.find("\t")))
        return Problem("a tab stands where only spaces may", hint="indent with spaces", position=file.position(place))
    if "cannot start any token" in text:
        char = line[mark.column : mark.column + 1]
        return Problem(f"a text cannot start with {char!r}", hint="quote it", position=file.position(mark))
    for part, reason, hint in _REASONS:
        if part in text:
            # what was opened is where the user has to look, not the end of the file
            opened = error.context_mark if "closed" in reason or "escape" in reason else None
            return Problem(reason, hint=hint, position=file.position(opened or mark))
    if mark.line >= len(file.lines) - 1 and not line[mark.column :].strip():
        hint = "close every '[', '{' and quote"
        return Problem("the text ends before it is complete", hint=hint, position=file.position(mark))
    return Problem(_INDENT, hint=_INDENT_HINT, position=file.position(mark))
