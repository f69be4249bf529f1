"""Patterns that mean the same in every engine's regular expressions (Rust's, RE2 and Java's)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from laktory.expressions.sql_build import literal, refuse

if TYPE_CHECKING:
    import narwhals as nw

__all__ = ["like", "regex", "replacement"]

_SPECIAL = frozenset(r"\.+*?()|[]{}^$")
_RANGES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": r"\x20-~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r"\t-\r\x20",
    "upper": "A-Z",
    "word": "0-9A-Z_a-z",
    "xdigit": "0-9A-Fa-f",
}
# \d and its kin mean Unicode in one engine and ASCII in another, which has no named classes: ranges are alike
_CLASSES = {
    "d": "0-9",
    "D": r"\x00-/:-\x{10FFFF}",
    "w": "0-9A-Z_a-z",
    "W": r"\x00-/:-@\[-\^`{-\x{10FFFF}",
    "s": r"\t-\r\x20",
    "S": r"\x00-\x08\x0E-\x1F!-\x{10FFFF}",
}
_MULTILINE = re.compile(r"\(\?[is]*m")
_NAMED = re.compile(r"\?P?<\w+>")
_GROUP = re.compile(r"\?(:|P?<[A-Za-z_]\w*>|[ims]+(-[ims]+)?[:)])")


def like(value: nw.Expr, pattern: str, *, escape: str | None, ignore_case: bool) -> nw.Expr:
    """``value LIKE pattern``: % is any text, _ one character, `escape` takes their meaning away."""
    parts: list[str | None] = []  # None for %, "" for _, else literal text
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if escape and char == escape:
            index += 1
            if index == len(pattern):
                refuse(f"the LIKE pattern {pattern!r} ends with its escape character")
            parts.append(pattern[index])
        else:
            parts.append(None if char == "%" else "" if char == "_" else char)
        index += 1
    inner = parts[1:-1] if len(parts) > 1 else []
    if not ignore_case and all(parts[1:]) and parts[:1] == [None]:
        return value.str.ends_with("".join(part or "" for part in parts))
    if not ignore_case and all(parts[:-1]) and parts[-1:] == [None]:
        return value.str.starts_with("".join(part or "" for part in parts))
    if not ignore_case and all(parts):
        return value == literal("".join(part or "" for part in parts))
    if not ignore_case and inner and all(inner) and parts[0] is None and parts[-1] is None:
        return value.str.contains("".join(part or "" for part in inner), literal=True)
    expression = "".join(".*" if part is None else "." if part == "" else _escaped(part) for part in parts)
    return value.str.contains(rf"(?{'i' if ignore_case else ''}s)^{expression}\z")


def regex(pattern: str, flags: str = "") -> str:
    """A pattern both engines read alike.

    Raises
    ------
    ExpressionError
        For look-around, back-references and unbalanced brackets.
    """
    if unknown := set(flags) - set("imscg"):
        refuse(f"unknown regular expression flag {min(unknown)!r}; known: i, m, s, c, g")
    used = "".join(flag for flag in "ims" if flag in flags)
    # `$` is the end of the text, before a last line feed too for some; with the flag m, of every line
    end = "$" if "m" in used or _MULTILINE.search(pattern) else r"\z"
    return (f"(?{used})" if used else "") + _translated(pattern, end)


def replacement(text: str) -> str:
    """A replacement that holds no group references, whose spelling differs between engines."""
    if "\\" in text or "$" in text:
        refuse(f"the replacement {text!r} holds '\\' or '$': references to groups are not available")
    return text


def _escaped(char: str) -> str:
    return f"\\{char}" if char in _SPECIAL else char


def _translated(pattern: str, end: str) -> str:
    result: list[str] = []
    depth, in_class, index = 0, False, 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            index += 1
            result.append(_escape_sequence(pattern, index, in_class=in_class))
        elif in_class:
            in_class, index = _class_part(pattern, index, result)
        else:
            if char == "[":
                in_class = True
                first = 2 if pattern[index + 1 : index + 2] == "^" else 1
                if pattern[index + first : index + first + 1] == "]":
                    refuse(f"the regular expression {pattern!r} has an empty class; write '\\]' for a bracket")
            elif char == "(":
                depth += 1
                if pattern[index + 1 : index + 2] == "?" and not _GROUP.match(pattern, index + 1):
                    refuse(f"the regular expression {pattern!r} looks ahead or behind, which no engine here can do")
            elif char == ")":
                depth -= 1
            result.append(end if char == "$" else char)
            # names of groups are spelled differently, and nothing refers to them
            index += len(name[0]) if char == "(" and (name := _NAMED.match(pattern, index + 1)) else 0
        if depth < 0:
            break
        index += 1
    if depth or in_class:
        refuse(f"the regular expression {pattern!r} has unbalanced brackets")
    return "".join(result)


def _class_part(pattern: str, index: int, result: list[str]) -> tuple[bool, int]:
    """One part of a class ``[…]``: is the class still open, and where did reading stop."""
    char = pattern[index]
    if char == "[":
        end = pattern.find(":]", index)
        if pattern[index + 1 : index + 2] == ":" and end > 0:
            name = pattern[index + 2 : end]
            if name not in _RANGES:
                known = " ".join(_RANGES)
                refuse(
                    f"the regular expression {pattern!r} has a class [:{name}:], which is not available; known: {known}"
                )
            result.append(_RANGES[name])
            return True, end + 1
        result.append("\\[")
        return True, index
    if pattern[index : index + 2] in {"&&", "--", "~~"}:
        used = pattern[index : index + 2]
        refuse(f"the regular expression {pattern!r} combines classes with {used!r}, which is not available")
    result.append(char)
    return char != "]", index


def _escape_sequence(pattern: str, index: int, *, in_class: bool) -> str:
    if index == len(pattern):
        refuse(f"the regular expression {pattern!r} ends with a backslash")
    char = pattern[index]
    if char in _CLASSES:
        return _CLASSES[char] if in_class else f"[{_CLASSES[char]}]"
    if char.isdigit():
        refuse(f"the regular expression {pattern!r} refers back to a group, which no engine here can do")
    if char in "bB":
        refuse(
            f"the regular expression {pattern!r} holds '\\{char}', and engines differ in what is a letter there; "
            r"write (^|\W) before a word and (\W|$) behind it"
        )
    if char == "v":
        return r"\x0B"  # more than one character to some
    if char.isalpha() and char not in "AzpPtnrfx":
        refuse(f"the regular expression {pattern!r} holds '\\{char}', which is not available")
    return f"\\{char}"
