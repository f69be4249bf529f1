"""Secrets are taken out of everything that is shown.

Four things are hidden, each replaced by ``***``:

- values registered here: variables, environment variables and settings whose name says so, and `SecretStr` values.
  A value shorter than `MIN_LENGTH` characters is not: hiding every ``1`` or ``ab`` would hide the message instead;
- credentials inside URLs, ``scheme://user:password@host``: both are hidden, registered or not;
- query and connection string parts such as ``sig=…``, ``token=…``, ``password=…``, ``AccountKey=…``;
- texts in quotes beside a name that says so, ``'password': '…'`` and ``password='…'``: mappings and calls as Python and
  JSON show them. In a line of a definition, quotes are not needed.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = [
    "MASK",
    "MIN_LENGTH",
    "is_secret_name",
    "masked",
    "plain",
    "redact",
    "register",
    "register_credentials",
    "register_variables",
    "spans",
    "written_spans",
]

MASK = "***"
MIN_LENGTH = 4

# `container@account` of abfss:// is no credential: without a colon only http(s) has one
_CREDENTIALS = re.compile(r"(?:https?://|(?<=://)(?=[^\s/?#'\"<>@:]*:))(?P<value>[^\s/?#'\"<>]+)(?=@)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"(?<![A-Za-z0-9])(?:sig|signature|token|[a-z0-9_-]{0,40}[_-]token|sas_?token|password|passwd|pwd|secret|client_?secret"
    r"|api_?key|account_?key|shared_?access_?key|(?:aws_)?secret_?access_?key|x-amz-signature|x-amz-security-token)"
    r"=(?P<value>[^\s&;,'\"]+)",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"""(?P<around>\\?['"]|(?<![\w'"]))(?P<name>[A-Za-z][\w-]{1,60})(?P=around)\s*[:=]\s*(?P<quote>\\?['"])(?P<value>.+?)(?P=quote)"""
)
_WRITTEN = re.compile(
    r"""(?P<quote>['"]?)(?P<name>[A-Za-z][\w-]{1,60})(?P=quote)\s*[:=]\s+(?P<value>"[^"]*"?|'[^']*'?|[^\s'"#\[\]{},|>&*$][^,\]}]*)"""
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# ends of words: `dbpassword` and `apikey` are written as one
_SECRET_WORDS = (
    *("token", "password", "passwd", "pwd", "passphrase", "passcode", "secret", "credential"),
    *("apikey", "accesskey", "secretkey", "privatekey"),
)
_SHORT_SECRET_WORDS = frozenset({"pass", "cred", "creds", "jwt", "bearer"})
_KEY_WORDS = frozenset({"key", "keys"})
# `max_tokens` is a number of tokens
_MEASURES = frozenset({"max", "min", "num", "n", "total", "number", "limit"})
# kinds of keys that are columns, or meant to be seen
_PLAIN_KEYS = frozenset(
    [
        "primary",
        "foreign",
        "business",
        "natural",
        "surrogate",
        "merge",
        "join",
        "sort",
        "partition",
        "cluster",
        "clustering",
        "group",
        "grouping",
        "order",
        "index",
        "unique",
        "composite",
        "hash",
        "row",
        "dedup",
        "deduplication",
        "lookup",
        "match",
        "public",
        "column",
    ]
)
# `secret_scope` and `token_url` say where a secret is, not what it is
_AROUND = frozenset(
    [
        "name",
        "names",
        "scope",
        "scopes",
        "path",
        "file",
        "url",
        "uri",
        "endpoint",
        "type",
        "version",
        "vault",
        "column",
        "columns",
        "col",
        "cols",
        "field",
        "fields",
        "count",
        "length",
    ]
)

_lock = threading.Lock()
_values: set[str] = set()
_pattern: re.Pattern[str] | None = None


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret.

    True when a word of the name is, or ends with, ``token``, ``password``, ``passwd``, ``pwd``, ``passphrase``,
    ``secret``, ``credential``, ``apikey`` or ``key``, in the plural too (``api_key``, ``accessKey``, ``DB_PASSWORD``,
    ``tokens``). False where the key is one of a table (``primary_keys``), where the name says where the secret
    lies (``secret_scope``), and for exceptions (``KeyError``).
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _AROUND or name.endswith(("Error", "Exception")):
        return False
    for index, word in enumerate(words):
        if word.endswith("s") and index and words[index - 1] in _MEASURES:
            continue
        if word in _SHORT_SECRET_WORDS or word.removesuffix("s").endswith(_SECRET_WORDS):
            return True
        if (
            word in _KEY_WORDS
            and not (word == "keys" and index == 0)
            and not (index and words[index - 1] in _PLAIN_KEYS)
        ):
            return True
    return False


def plain(value: Any) -> Any:
    """The text of a pydantic `SecretStr`, registered on the way; anything else as it is."""
    reveal = getattr(type(value), "get_secret_value", None)
    if reveal is None:
        return value
    revealed = reveal(value)
    register(revealed)
    return revealed


def register(value: Any) -> None:
    """Hide `value` from now on: a text, a number, or everything inside a dict or list.

    Booleans, None and texts shorter than `MIN_LENGTH` are left alone.
    """
    found = set(_forms(value))
    if not found or found <= _values:
        return
    global _pattern  # noqa: PLW0603 - one registry for the process, replaced under the lock
    with _lock:
        _values.update(found)
        longest_first = sorted(_values, key=lambda text: (-len(text), text))
        _pattern = re.compile("|".join(re.escape(text) for text in longest_first))


def register_variables(variables: Any) -> None:
    """Hide values whose name says that they are secrets, in nested mappings too. References are no secrets."""
    if isinstance(variables, dict):
        for name, value in variables.items():
            if isinstance(name, str) and is_secret_name(name) and not (isinstance(value, str) and "${" in value):
                register(value)
            elif isinstance(value, dict):
                register_variables(value)


def register_credentials(text: str) -> None:
    """Hide user and password of the URLs in a text wherever they show: a normalised path is no URL any more."""
    for match in _CREDENTIALS.finditer(text) if "://" in text else ():
        register(match["value"])
        register(match["value"].partition(":")[2])


def redact(text: str) -> str:
    """`text` with every secret replaced by ``***``."""
    return masked(text, spans(text))


def masked(text: str, found: list[tuple[int, int]]) -> str:
    """`text` with ``***`` in these places."""
    parts: list[str] = []
    last = 0
    for start, end in found:
        parts += [text[last:start], MASK]
        last = end
    return "".join([*parts, text[last:]])


def spans(text: str) -> list[tuple[int, int]]:
    """Where the secrets of `text` stand, in order and without overlaps."""
    return _merged(_found(text))


def written_spans(line: str) -> list[tuple[int, int]]:
    """Where the secrets of a line of a definition stand, which may be one that could not be read."""
    return _merged([*_found(line), *_named(_WRITTEN, line)])


def _found(text: str) -> list[tuple[int, int]]:
    found = [match.span() for match in _pattern.finditer(text)] if _pattern is not None else []
    if "://" in text:
        found += [match.span("value") for match in _CREDENTIALS.finditer(text)]
    if "=" in text:
        found += [match.span("value") for match in _PARAMETER.finditer(text)]
    return found + _named(_NAMED, text)


def _named(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Values beside names of secrets. References are none."""
    return [
        match.span("value")
        for match in pattern.finditer(text)
        if len(match["value"].strip("'\"")) >= MIN_LENGTH
        and "${" not in match["value"]
        and is_secret_name(match["name"])
    ]


def _merged(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _forms(value: Any) -> list[str]:
    """The texts under which a value may show up: itself, its long lines, and as part of a URL or of JSON."""
    if isinstance(value, dict):
        return [form for item in value.values() for form in _forms(item)]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [form for item in value for form in _forms(item)]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return []
    text = str(value)
    lines = [line.strip() for line in text.splitlines()]
    forms = {text.strip(), *lines, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1], repr(text)[1:-1]}
    return [form for form in forms if len(form) >= MIN_LENGTH]
