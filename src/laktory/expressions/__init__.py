"""Strings that hold code, made safe: Python by allow-list, SQL with one meaning on every engine."""

from laktory.expressions.python import Vocabulary, evaluate, parse
from laktory.expressions.scopes import looks_like_code, scope
from laktory.expressions.sql import columns, compile_sql, is_aggregate, output_name, parse_sql

__all__ = [
    "Vocabulary",
    "columns",
    "compile_sql",
    "evaluate",
    "is_aggregate",
    "looks_like_code",
    "output_name",
    "parse",
    "parse_sql",
    "scope",
]
