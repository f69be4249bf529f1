"""Python expressions, read by an interpreter of their syntax tree. Nothing is ever given to `eval`.

What a text can reach is what the caller put into `names`: plain data, `Mapping` views (``vars.x`` is
``vars["x"]``), functions, and a `Vocabulary` for a dataframe library. Everything else is refused.
"""

from __future__ import annotations

import ast
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from laktory.diagnostics import closest, plain_words
from laktory.errors import ExpressionError, LaktoryError
from laktory.expressions.plain import FUNCTIONS, METHODS, OPERATORS, bounded, call_method, is_plain

__all__ = ["Vocabulary", "evaluate", "parse"]

MAX_TEXT = 10_000
MAX_NODES = 2_000
MAX_DEPTH = 100

_NODES = {
    *("Expression", "Constant", "Name", "Attribute", "Call", "keyword", "Subscript", "Slice", "Load"),
    *("BinOp", "UnaryOp", "BoolOp", "Compare", "IfExp", "And", "Or", "Not", "UAdd", "USub", "Invert"),
    *("List", "Tuple", "Set", "Dict", "JoinedStr", "FormattedValue"),
    *OPERATORS,
}

_REFUSED = {
    "Lambda": "functions cannot be defined",
    "NamedExpr": "':=' is not available",
    "Await": "'await' is not available",
    "Yield": "'yield' is not available",
    "YieldFrom": "'yield' is not available",
    "Starred": "'*' unpacking is not available",
    "ListComp": "comprehensions are not available",
    "SetComp": "comprehensions are not available",
    "DictComp": "comprehensions are not available",
    "GeneratorExp": "comprehensions are not available",
    "LShift": "'<<' is not available",
    "RShift": "'>>' is not available",
    "MatMult": "'@' is not available",
}

_FORMAT = re.compile(r"([^{}]?[<>=^])?[+\- ]?#?0?\d{0,3}[,_]?(\.\d{1,2})?[bcdeEfFgGnosxX%]?")
_WARNINGS = threading.Lock()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What an expression may reach of a library.

    Attributes
    ----------
    name : how it is called in expressions, e.g. ``nw``
    members : name → function, data type or nested vocabulary
    types : types whose public attributes and operators may be used
    dtypes : types of data types, which are values but have no attributes
    denied : attributes of `types` that take Python functions, evaluate or do I/O
    begun : those of `types` that are no expression yet: ``when(…)`` without ``then(…)``
    methods : ``name`` or ``namespace.name`` → function that is called with the object first, in place of a method
    """

    name: str
    members: Mapping[str, Any]
    types: tuple[type, ...] = ()
    dtypes: tuple[type, ...] = ()
    denied: frozenset[str] = frozenset()
    begun: tuple[type, ...] = ()
    methods: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Accessor:
    """A namespace of an expression, such as ``.str``: its methods may be called, nothing else."""

    value: Any
    name: str
    owner: Any


def parse(text: str) -> ast.Expression:
    """Syntax tree of an expression that uses allowed syntax only.

    Raises
    ------
    ExpressionError
        With the offset of the offending part.
    """
    if len(text) > MAX_TEXT:
        msg = f"the expression has {len(text):,} characters; at most {MAX_TEXT:,} are read"
        raise ExpressionError(msg)
    tree, source, shift = syntax(text)
    _check(tree, source, shift)
    return tree


def syntax(text: str) -> tuple[ast.Expression, str, int]:
    """Syntax tree of a Python expression, allowed or not, the source it was read from, and what shifts its offsets.

    Raises
    ------
    ExpressionError
        If it is none.
    """
    source, shift = _source(text)
    try:
        # the texts are the user's: a warning about an escape such as "\d" helps nobody
        with _WARNINGS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        offset = shift + _offset(source, error.lineno or 1, (error.offset or 1) - 1, in_bytes=False)
        msg = f"not a valid Python expression: {error.msg}"
        raise ExpressionError(msg, offset=max(0, min(offset, len(text)))) from None
    except (ValueError, MemoryError, RecursionError):
        msg = "not a valid Python expression: nested too deeply, or it holds characters that cannot be read"
        raise ExpressionError(msg) from None
    return tree, source, shift


def evaluate(text: str, names: Mapping[str, object]) -> Any:
    """Value of an expression.

    Parameters
    ----------
    text : one Python expression: literals, arithmetic, comparisons, ``a if b else c``, subscripts, f-strings,
        calls of what is in `names`, of a short list of builtins and of harmless methods of plain values
    names : plain values, `Mapping` views, functions and vocabularies by the name the text uses

    Raises
    ------
    ExpressionError
        If the text is not such an expression, or computing it fails or would not be bounded.
    """
    tree = parse(text)
    interpreter = _Interpreter(text, names)
    try:
        return interpreter.finished(tree.body)
    except RecursionError:
        msg = "the expression is nested too deeply"
        raise ExpressionError(msg) from None


def _source(text: str) -> tuple[str, int]:
    """What Python parses, and what to add to its offsets. Lines of a longer text need no brackets."""
    stripped = text.strip()
    shift = len(text) - len(text.lstrip())
    return (f"(\n{stripped}\n)", shift - 2) if "\n" in stripped else (stripped, shift)


def _check(tree: ast.AST, source: str, shift: int) -> None:
    count = 0
    waiting: list[tuple[ast.AST, ast.AST, int]] = [(tree, tree, 0)]
    while waiting:
        node, parent, depth = waiting.pop()
        place = _place(node if hasattr(node, "lineno") else parent, source, shift)
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            msg = f"the expression is too large: at most {MAX_NODES:,} parts, nested {MAX_DEPTH} deep"
            raise ExpressionError(msg, offset=place)
        name = type(node).__name__
        if name not in _NODES:
            msg = _REFUSED.get(name, f"{name} is not available")
            raise ExpressionError(msg + " in an expression", offset=place)
        attribute = getattr(node, "attr", None) or getattr(node, "arg", None) or getattr(node, "id", None)
        if attribute is not None and attribute.startswith("_"):
            msg = f"{attribute!r} starts with an underscore and cannot be used in an expression"
            raise ExpressionError(msg, offset=place)
        waiting.extend((child, node, depth + 1) for child in ast.iter_child_nodes(node))


def _place(node: ast.AST, source: str, shift: int) -> int | None:
    line = getattr(node, "lineno", None)
    return None if line is None else shift + _offset(source, line, getattr(node, "col_offset", 0), in_bytes=True)


def _offset(source: str, line: int, column: int, *, in_bytes: bool) -> int:
    lines = source.splitlines(keepends=True) or [""]
    before = sum(len(text) for text in lines[: line - 1])
    current = lines[min(line, len(lines)) - 1]
    return before + (len(current.encode()[:column].decode(errors="ignore")) if in_bytes else min(column, len(current)))


class _Interpreter:
    def __init__(self, text: str, names: Mapping[str, object]) -> None:
        self.names = names
        self.source, self.shift = _source(text)
        self.vocabularies = tuple(_vocabularies(names))
        self.types = tuple(kind for vocabulary in self.vocabularies for kind in vocabulary.types)
        self.dtypes = tuple(kind for vocabulary in self.vocabularies for kind in vocabulary.dtypes)
        self.begun = tuple(kind for vocabulary in self.vocabularies for kind in vocabulary.begun)
        self.methods = dict(item for vocabulary in self.vocabularies for item in vocabulary.methods.items())
        self.denied = frozenset().union(*(vocabulary.denied for vocabulary in self.vocabularies))

    # ---- values ------------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        """Value of a node; a function, a vocabulary or an accessor is not a value."""
        result = self.reach(node)
        if self.is_value(result):
            return result
        if isinstance(result, _Accessor):
            raise self.error(node, f"{ast.unparse(node)!r} is a group of methods; call one of them")
        if isinstance(result, Vocabulary):
            raise self.error(node, f"{result.name!r} is a library; use one of its members")
        if callable(result):
            raise self.error(node, f"{ast.unparse(node)!r} is a function; call it")
        raise self.error(
            node, f"{ast.unparse(node)!r} is a {type(result).__name__}, which cannot be used in an expression"
        )

    def finished(self, node: ast.expr) -> Any:
        """Value of the whole expression."""
        result = self.value(node)
        if isinstance(result, self.begun):
            raise self.error(node, "'when' is not finished; go on with .then(…) and, at the end, .otherwise(…)")
        return result

    def is_value(self, value: object) -> bool:
        """Whether data, a data type or an expression of a vocabulary."""
        return is_plain(value) or isinstance(value, self.types) or self.is_dtype(value)

    def is_dtype(self, value: object) -> bool:
        return isinstance(value, self.dtypes) or (isinstance(value, type) and issubclass(value, self.dtypes))

    def is_vocal(self, value: object) -> bool:
        return isinstance(value, self.types) or self.is_dtype(value)

    def reach(self, node: ast.expr) -> Any:
        handler: Callable[[Any], Any] = getattr(self, f"_{type(node).__name__.lower()}")
        return handler(node)

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, (bytes, complex)) or node.value is ...:
            raise self.error(node, f"{ast.unparse(node)!r} is not available in an expression")
        return self.guarded(node, bounded, node.value)

    def _name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            return self.names[node.id]
        if node.id in FUNCTIONS:
            return FUNCTIONS[node.id]
        known = [*self.names, *FUNCTIONS]
        hint = closest(node.id, known) or f"known names: {', '.join(sorted(self.names)) or 'none'}"
        raise self.error(node, f"unknown name {node.id!r}; {hint}")

    def _list(self, node: ast.List) -> list[Any]:
        return [self.value(item) for item in node.elts]

    def _tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self.value(item) for item in node.elts)

    def _set(self, node: ast.Set) -> Any:
        return self.guarded(node, set, [self.value(item) for item in node.elts])

    def _dict(self, node: ast.Dict) -> Any:
        pairs = []
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:
                raise self.error(node, "'**' unpacking is not available in an expression")
            pairs.append((self.value(key), self.value(item)))
        return self.guarded(node, dict, pairs)

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.truth(node.test) else node.orelse)

    def _boolop(self, node: ast.BoolOp) -> Any:
        stops_at = isinstance(node.op, ast.Or)
        for operand in node.values[:-1]:
            value = self.value(operand)
            if self.truth(operand, value) is stops_at:
                return value
        value = self.value(node.values[-1])
        self.truth(node.values[-1], value)
        return value

    def truth(self, node: ast.expr, *known: Any) -> bool:
        value = known[0] if known else self.value(node)
        if self.is_vocal(value):
            msg = "a column expression is neither true nor false; combine with & | ~ in parentheses, choose with when()"
            raise self.error(node, msg)
        return bool(value)

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            return not self.truth(node.operand)
        operand = self.value(node.operand)
        if isinstance(node.op, ast.Invert):
            return self.guarded(node, lambda: ~operand)
        return self.guarded(node, lambda: -operand if isinstance(node.op, ast.USub) else +operand)

    def _binop(self, node: ast.BinOp) -> Any:
        return self.operate(node, node.op, self.value(node.left), self.value(node.right))

    def _compare(self, node: ast.Compare) -> Any:
        left, result = self.value(node.left), None
        for index, (operator, comparator) in enumerate(zip(node.ops, node.comparators, strict=True)):
            right = self.value(comparator)
            vocal = self.is_vocal(left) or self.is_vocal(right)
            if vocal and len(node.ops) > 1:
                raise self.error(node, "comparisons of column expressions cannot be chained; use .is_between() or &")
            if vocal and isinstance(operator, (ast.In, ast.NotIn, ast.Is, ast.IsNot)):
                raise self.error(node, "'in' and 'is' do not work on column expressions; use .is_in() or .is_null()")
            if isinstance(operator, (ast.Is, ast.IsNot)) and not any(isinstance(x, bool | None) for x in (left, right)):
                raise self.error(node, "'is' asks for None, True or False only; use '==' for values")
            result = self.operate(node, operator, left, right)
            if index + 1 < len(node.ops) and not result:
                return result
            left = right
        return result

    def operate(self, node: ast.expr, operator: ast.AST, left: Any, right: Any) -> Any:
        return self.guarded(node, OPERATORS[type(operator).__name__], left, right)

    def _subscript(self, node: ast.Subscript) -> Any:
        value = self.value(node.value)
        if self.is_vocal(value):
            raise self.error(node, "column expressions have no subscripts; use .list.get() or .struct.field()")
        key = self.slice_of(node.slice) if isinstance(node.slice, ast.Slice) else self.value(node.slice)
        if isinstance(value, Mapping):
            return self.item(node, value, key)
        return self.guarded(node, lambda: value[key])

    def slice_of(self, node: ast.Slice) -> slice:
        return slice(*(None if part is None else self.value(part) for part in (node.lower, node.upper, node.step)))

    def _joinedstr(self, node: ast.JoinedStr) -> Any:
        return self.guarded(node, "".join, [self.value(part) for part in node.values])

    def _formattedvalue(self, node: ast.FormattedValue) -> Any:
        value = self.value(node.value)
        if not is_plain(value):
            raise self.error(node, "only plain values can be put into text")
        self.guarded(node, bounded, value)
        if node.conversion != -1:
            conversions: dict[str, Callable[[Any], str]] = {"s": str, "r": repr, "a": ascii}
            value = conversions[chr(node.conversion)](value)
        if node.format_spec is None:
            return self.guarded(node, str, value)
        parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        spec = "".join(str(part.value) if isinstance(part, ast.Constant) else "{" for part in parts)
        if not _FORMAT.fullmatch(spec) or not isinstance(value, (str, int, float)):
            raise self.error(
                node, "this format is not available: write a literal one such as ':.2f' or ':>10' on a number or a text"
            )
        return self.guarded(node, format, value, spec)

    # ---- attributes and calls ------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> Any:
        base = self.reach(node.value)
        if isinstance(base, Vocabulary):
            return self.member(node, base)
        if isinstance(base, Mapping):
            return self.item(node, base, node.attr)
        if isinstance(base, self.types):
            return self.of_expression(node, base)
        raise self.error(node, f"attribute {node.attr!r} is not available on a {type(base).__name__}")

    def item(self, node: ast.expr, mapping: Mapping[Any, Any], key: Any) -> Any:
        try:
            return mapping[key]
        except LaktoryError:
            raise
        except (KeyError, TypeError):
            hint = closest(key, [name for name in mapping if isinstance(name, str)])
            raise self.error(node, f"{key!r} is not defined" + (f"; {hint}" if hint else "")) from None

    def member(self, node: ast.Attribute, vocabulary: Vocabulary) -> Any:
        if node.attr in vocabulary.members:
            return vocabulary.members[node.attr]
        hint = closest(node.attr, vocabulary.members)
        msg = f"{vocabulary.name}.{node.attr} is not available in an expression" + (f"; {hint}" if hint else "")
        raise self.error(node, msg)

    def of_expression(self, node: ast.Attribute, value: Any) -> Any:
        """A method of an expression object, or one of its namespaces."""
        if node.attr in self.denied:
            raise self.error(node, f".{node.attr} is not available in an expression")
        found = self.guarded_attribute(node, value)
        if not callable(found):
            return _Accessor(found, node.attr, value)
        return self.own(node.attr, value, found)

    def own(self, name: str, value: Any, found: Callable[..., Any]) -> Callable[..., Any]:
        """The method that a vocabulary has in place of the one found."""
        return partial(self.methods[name], value) if name in self.methods else found

    def guarded_attribute(self, node: ast.Attribute, value: Any) -> Any:
        try:
            return getattr(value, node.attr)
        except AttributeError:
            known = [name for name in dir(value) if not name.startswith("_") and name not in self.denied]
            hint = closest(node.attr, known)
            raise self.error(
                node, f"a column expression has no {node.attr!r}" + (f"; {hint}" if hint else "")
            ) from None

    def _call(self, node: ast.Call) -> Any:
        function = self.function(node.func)
        args = [self.value(argument) for argument in node.args]
        kwargs = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.error(node, "'**' unpacking is not available in an expression")
            if keyword.arg == "eager":
                raise self.error(keyword.value, "'eager' is not available in an expression")
            kwargs[keyword.arg] = self.value(keyword.value)
        result = self.guarded(node, function, *args, **kwargs)
        if not self.is_value(result):
            raise self.error(node, f"the call gives a {type(result).__name__}, which cannot be used in an expression")
        return result

    def function(self, node: ast.expr) -> Callable[..., Any]:
        """What a call calls: a name, a member of a vocabulary, or an allowed method of a value."""
        if isinstance(node, ast.Name):
            found = self.reach(node)
            builtin = node.id not in self.names
            if callable(found) and not is_plain(found):
                return self.measured(node, found) if builtin else found
            raise self.error(node, f"{node.id!r} cannot be called")
        if not isinstance(node, ast.Attribute):
            raise self.error(node, "only names and methods can be called")
        base = self.reach(node.value)
        if isinstance(base, _Accessor):
            if node.attr not in self.denied and callable(method := self.guarded_attribute(node, base.value)):
                return self.own(f"{base.name}.{node.attr}", base.owner, method)
            raise self.error(node, f".{node.attr} is not available in an expression")
        if isinstance(base, (Vocabulary, *self.types)):
            found = self.member(node, base) if isinstance(base, Vocabulary) else self.of_expression(node, base)
            if callable(found):
                return found  # type: ignore[no-any-return]
        elif is_plain(base):
            return self.method(node, base)
        raise self.error(node, f"{ast.unparse(node)!r} cannot be called")

    def measured(self, node: ast.expr, function: Callable[..., Any]) -> Callable[..., Any]:
        """A builtin, for plain arguments of bounded size only."""

        def call(*args: Any, **kwargs: Any) -> Any:
            for argument in (*args, *kwargs.values()):
                if not is_plain(argument):
                    raise self.error(node, f"{ast.unparse(node)!r} takes plain values, not column expressions")
                bounded(argument)
            return function(*args, **kwargs)

        return call

    def method(self, node: ast.Attribute, value: Any) -> Callable[..., Any]:
        allowed = next((names for kind, names in METHODS if isinstance(value, kind)), frozenset[str]())
        if node.attr not in allowed:
            hint = closest(node.attr, allowed)
            msg = f".{node.attr}() is not available on a {type(value).__name__}" + (f"; {hint}" if hint else "")
            raise self.error(node, msg)

        def call(*args: Any, **kwargs: Any) -> Any:
            # a view over variables is not walked: its values may be computed when they are asked for
            for argument in (*(() if isinstance(value, Mapping) else (value,)), *args, *kwargs.values()):
                bounded(argument)
            return call_method(value, node.attr, list(args), kwargs)

        return call

    # ---- failing -------------------------------------------------------------------------------

    def guarded(self, node: ast.AST, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call, and turn whatever goes wrong into an `ExpressionError` at this node."""
        try:
            result = function(*args, **kwargs)
            return bounded(result) if is_plain(result) else result
        except ExpressionError as error:
            if error.offset is not None:
                raise
            raise self.error(node, str(error)) from None
        except LaktoryError:
            raise
        except ZeroDivisionError:
            raise self.error(node, "division by zero") from None
        except BaseException as error:
            # Polars reports its own faults with a BaseException of this name
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            first = plain_words(next(iter(str(error).strip().splitlines()), "")).partition("; use sys.")[0]
            msg = f"{ast.unparse(node)!r} cannot be computed: {first or type(error).__name__}"
            raise self.error(node, msg) from None

    def error(self, node: ast.AST, message: str) -> ExpressionError:
        return ExpressionError(message, offset=_place(node, self.source, self.shift))


def _vocabularies(names: Mapping[str, object]) -> list[Vocabulary]:
    found: list[Vocabulary] = []
    waiting = [value for value in names.values() if isinstance(value, Vocabulary)]
    while waiting:
        vocabulary = waiting.pop()
        found.append(vocabulary)
        waiting.extend(member for member in vocabulary.members.values() if isinstance(member, Vocabulary))
    return found
