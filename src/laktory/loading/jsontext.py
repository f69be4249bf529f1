"""JSON text → nodes."""

from __future__ import annotations

import json
import re
from typing import Any

from laktory.diagnostics import Problem
from laktory.loading.nodes import MAX_DEPTH, Node, Place, SourceFile, TextError
from laktory.loading.problems import key_problems, too_deep

__all__ = ["compose_json", "is_json"]

_LEXEME = re.compile(r'[{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+|\n', re.DOTALL)


def is_json(text: str) -> bool:
    """Whether a text is JSON rather than YAML."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def compose_json(file: SourceFile, problems: list[Problem]) -> Node:
    """The root node of a JSON text. Keys written twice are added to `problems`.

    Raises
    ------
    TextError
        If the text is not JSON or too deep.
    """
    try:
        json.loads(file.text)
    except json.JSONDecodeError as error:
        message = f"this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise TextError(Problem(message, position=file.position(Place(error.lineno - 1, error.colno - 1)))) from None
    except ValueError:
        raise TextError(
            Problem("this is not JSON: a number is too long", position=file.position(Place(0, 0)))
        ) from None
    except RecursionError:
        raise TextError(too_deep(file.position(Place(0, 0)))) from None
    return _nodes(file, problems)


def _nodes(file: SourceFile, problems: list[Problem]) -> Node:
    """Walk the tokens of a text known to be JSON."""
    root = Node([], Place(0, 0), Place(0, 0), file)
    stack: list[tuple[Node, list[Node]]] = [(root, [])]
    line, line_start = 0, 0
    for match in _LEXEME.finditer(file.text):
        lexeme = match[0]
        if lexeme == "\n":
            line, line_start = line + 1, match.end()
        elif lexeme in "{[":
            if len(stack) > MAX_DEPTH:
                raise TextError(too_deep(file.position(Place(line, match.start() - line_start))))
            start = Place(line, match.start() - line_start)
            stack.append((Node({} if lexeme == "{" else [], start, start, file), []))
        elif lexeme in "}]":
            node, items = stack.pop()
            node.end = Place(line, match.end() - line_start)
            _close(node, items, problems)
            stack[-1][1].append(node)
        elif lexeme not in ",:":
            start, end = Place(line, match.start() - line_start), Place(line, match.end() - line_start)
            style = '"' if lexeme[0] == '"' else ""
            stack[-1][1].append(Node(_scalar(lexeme), start, end, file, style))
    return stack[0][1][0]


def _close(node: Node, items: list[Node], problems: list[Problem]) -> None:
    value: Any = node.value
    if type(value) is list:
        node.children = items
        value.extend(item.value for item in items)
        return
    pairs = list(zip(items[::2], items[1::2], strict=True))
    problems += key_problems(pairs)
    node.children = {key.value: (key, item) for key, item in pairs}
    value.update((key.value, item.value) for key, item in pairs)


def _scalar(lexeme: str) -> Any:
    return lexeme[1:-1] if lexeme[0] == '"' and "\\" not in lexeme else json.loads(lexeme)
