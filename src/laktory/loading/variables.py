"""``${vars.NAME}``, ``${settings.NAME}`` and ``${{ expression }}`` → values."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from laktory.diagnostics import MAX_SHOWN, Problem, Substitution, closest, raise_problems
from laktory.diagnostics.secrets import is_secret_name, plain, register
from laktory.errors import DefinitionError, ExpressionError
from laktory.loading.embedding import embedded
from laktory.loading.nodes import MAX_DEPTH, Copies
from laktory.loading.references import Piece, line_column, pieces, refers_to, texts
from laktory.loading.scope import Scope
from laktory.loading.unresolved import UnresolvedError, foreign
from laktory.loading.views import Variables, View, unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from laktory.diagnostics import Path

__all__ = ["MAX_CHAIN", "MAX_PATTERN_TEXT", "MAX_TEXT", "Resolver", "resolve"]

MAX_TEXT = 1_000_000
"""Characters of one text after substitution."""

MAX_TOTAL = 100_000_000
"""Characters that all substitutions of one definition may make."""

MAX_PATTERN_TEXT = 20_000
"""Characters of a text that regex variables are applied to; with such variables in scope a longer one is refused."""

MAX_CHAIN = 50
"""Variables whose values refer to one another, one behind the other."""

_SHOWN = 15
_NAME = re.compile(r"[^\W\d]\w*")


def resolve(
    value: Any,
    vars: Mapping[str, Any] | None = None,  # noqa: A002
    *,
    strict: bool = True,
    objs: Mapping[str, Any] | None = None,
    parents: Sequence[Mapping[str, Any]] = (),
    override: bool = False,
) -> Any:
    """Plain values with their variables resolved; the input is left as it is.

    A variable is looked up, by name without regard to case, in the ``variables`` of the mapping itself, of the
    mappings around it, in `parents`, in `vars`; then by exact name in the OS environment; then in the settings.

    Parameters
    ----------
    value : dict, list or scalar; other objects in it are passed on untouched
    vars : more variables
    strict : an unresolved reference is an error, and so is one that only others can resolve (``${params.x}``,
        ``${resources.x}``); otherwise both stay as text
    objs : more names for ``${{ }}``; they replace `pipeline` and `pipeline_node`
    parents : variables of what stands around `value`, nearest first
    override : `vars` win over everything

    Raises
    ------
    DefinitionError
        With every problem. Circles, self references and runaway growth are errors even when not `strict`.
    """
    resolver = Resolver(strict=strict, objs=objs)
    resolved = resolver.resolve(value, Scope.start(vars, parents, override=override))
    if resolver.problems:
        raise_problems(resolver.problems)
    return resolved


class Resolver:
    """Resolves one definition.

    Attributes
    ----------
    problems : what is wrong
    substituted : how each text of the tree came from what is written; None where its places cannot be followed
    """

    def __init__(self, *, strict: bool, objs: Mapping[str, Any] | None = None) -> None:
        self.problems: list[Problem] = []
        self._strict = strict
        self._objs = objs or {}
        self._copies = Copies()
        self._characters = 0
        self._reported: set[object] = set()
        self._secrets = 0
        self._once: dict[tuple[int, object], tuple[Any, bool]] = {}
        self.substituted: dict[Path, Substitution | None] = {}

    def resolve(self, value: Any, scope: Scope) -> Any:
        """A plain tree with everything in it resolved."""
        try:
            return self._walk(value, scope, ())
        except UnresolvedError as failure:
            self._report(failure, ())
            return value

    # ---- the tree ----------------------------------------------------------------------------

    def _walk(self, value: Any, scope: Scope, path: Path) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value, scope, path, ()) if "${" in value else value
        if len(path) > MAX_DEPTH:
            msg = f"mappings and lists stand more than {MAX_DEPTH} deep in one another"
            raise UnresolvedError(msg, always=True)
        if isinstance(value, dict):
            return self._mapping(value, scope, path)
        if kind is list or kind is tuple:
            return kind([self._walk(item, scope, (*path, index)) for index, item in enumerate(value)])
        return value

    def _mapping(self, value: dict[Any, Any], scope: Scope, path: Path) -> dict[Any, Any]:
        variables = value.get("variables")
        if isinstance(variables, dict):
            self._check_self_reference(variables, (*path, "variables"))
            scope = scope.inner(variables)
        if not path and isinstance(value.get("nodes"), list):
            scope = scope.named("pipeline", value)
        elif len(path) == 2 and path[0] == "nodes" and "pipeline" in scope.names:
            scope = scope.named("pipeline_node", value)
        return {
            # variables stay as written: their values are resolved where they are used
            key: item
            if key == "variables" and item is variables and variables is not None
            else self._walk(item, scope, (*path, key))
            for key, item in value.items()
        }

    def _check_self_reference(self, variables: dict[Any, Any], path: Path) -> None:
        for name, value in variables.items():
            if isinstance(name, str) and any(refers_to(text, name) for text in texts(value, 0)):
                self._reported.add(frozenset({name.casefold()}))
                message = f"variable {name!r} cannot reference itself or a parent's definition of the same name"
                self.problems.append(Problem(message, (*path, name), hint="give the two different names"))

    def _report(self, failure: UnresolvedError, path: Path, place: tuple[int, int] | None = None) -> None:
        if failure.key is not None:
            if failure.key in self._reported:
                return
            self._reported.add(failure.key)
        line, column = place or (None, None)
        self.problems.append(Problem(str(failure), path, failure.valid, failure.hint, line=line, column=column))

    # ---- texts -------------------------------------------------------------------------------

    def _text(self, text: str, scope: Scope, path: Path, chain: tuple[str, ...]) -> Any:
        """A text with its references resolved. Inside another value (`chain`) a failure is raised, else reported."""
        written = text
        if not chain:
            self.substituted[path] = None
        try:
            replaced = self._patterns(text, scope)
            if not isinstance(replaced, str):
                return self.value(replaced, scope, (*chain, written))
        except UnresolvedError as failure:
            self._failed(failure, path, chain)
            return written
        text = replaced
        parts: list[str] = []
        spans: list[tuple[int, int, int, int]] = []
        last = size = 0
        for piece in pieces(text, scope):
            raw = text[piece.start : piece.end]
            try:
                part = self._piece(piece, scope, chain)
                if len(raw) == len(text):
                    return part
                part = embedded(part, raw)
                size += piece.start - last + len(part)
                self._count(size, len(part))
            except UnresolvedError as failure:
                # a regex variable may have moved what is written
                offset = piece.start + (failure.offset or 0) if text == written else None
                self._failed(failure, path, chain, None if offset is None else line_column(text, offset))
                part = raw
            parts += [text[last : piece.start], part]
            before = spans[-1][3] if spans else 0
            first = before + piece.start - last
            spans.append((piece.start, piece.end, first, first + len(part)))
            last = piece.end
        resolved = "".join([*parts, text[last:]])
        if not chain and text == written:
            self.substituted[path] = Substitution(written, resolved, tuple(spans))
        return resolved

    def _failed(
        self, failure: UnresolvedError, path: Path, chain: tuple[str, ...], place: tuple[int, int] | None = None
    ) -> None:
        """Inside another value pass the failure on, at the place where it is used report it; or let the text stay."""
        if not (self._strict or failure.always):
            return
        if chain:
            failure.offset = None  # it counts in a text that is not the user's line
            raise failure
        self._report(failure, path, place)

    def _count(self, size: int, added: int) -> None:
        self._characters += added
        if size > MAX_TEXT or self._characters > MAX_TOTAL:
            msg = f"variables make a text of more than {MAX_TEXT:,} characters"
            raise UnresolvedError(msg, always=True, key="growth")

    def _patterns(self, text: str, scope: Scope) -> Any:
        patterns = scope.patterns
        if patterns and len(text) > MAX_PATTERN_TEXT:
            msg = f"regex variables are not applied to a text of more than {MAX_PATTERN_TEXT:,} characters"
            raise UnresolvedError(msg, hint="use ${vars.NAME}", always=True)
        for item in patterns:
            key, template = item.key, item.template
            try:
                compiled = item.compiled
                if isinstance(template, str):
                    text = compiled.sub(template, text)
                elif compiled.fullmatch(text):
                    return template
                else:
                    text = compiled.sub(lambda match: embedded(plain(template), match[0]), text)  # noqa: B023
            except UnresolvedError:
                raise
            except DefinitionError as error:
                raise UnresolvedError(str(error), always=True, key=key) from None
            except (re.error, IndexError) as error:
                msg = f"the template {template!r} of the regex variable {key!r} does not fit it: {error}"
                raise UnresolvedError(msg, always=True, key=key) from None
        return text

    def _piece(self, piece: Piece, scope: Scope, chain: tuple[str, ...]) -> Any:
        if piece.kind == "vars":
            return self.variable(piece.body, scope, chain)
        if piece.kind == "settings":
            return _setting(piece.body)
        if piece.kind == "expression":
            return self._expression(piece.body, scope, chain)
        if piece.kind == "include":
            msg = "'${include.…}' is not supported any more"
            raise UnresolvedError(
                msg, hint="write 'key: !use file.yaml', '- !extend file.yaml' or '<<: !update file.yaml'", always=True
            )
        if piece.kind == "open":
            msg = "'${{' is never closed by '}}'"
            raise UnresolvedError(msg)
        if piece.kind == "foreign":
            raise foreign(piece.body)
        msg = f"{piece.body!r} is no reference"
        inner = piece.body.strip("${} ")
        if inner.count(".") > 1:
            raise UnresolvedError(msg, hint=f"for a part of a value write '${{{{ {inner} }}}}'")
        name = re.sub(r"\W+|^(?=\d)", "_", inner.rpartition(".")[2])
        raise UnresolvedError(msg, hint=f"write '${{vars.{name or 'NAME'}}}'; a name has letters, digits and '_'")

    def _expression(self, text: str, scope: Scope, chain: tuple[str, ...]) -> Any:
        from laktory.expressions.python import evaluate

        names: dict[str, Any] = {"vars": Variables(self, scope, chain)}
        names |= {name: View(self, value, around, chain, label=name) for name, (value, around) in scope.names.items()}
        stripped = text.strip()
        shown = stripped if len(stripped) <= 80 else stripped[:80] + "…"
        secrets = self._secrets
        try:
            result = unwrapped(evaluate(stripped, {**names, **self._objs}))
            if self._secrets > secrets or any(is_secret_name(word) for word in _NAME.findall(stripped)):
                # what is made of a secret is one, unless it is written here for all to see
                self._secrets += 1
                if not isinstance(result, (int, float)) and f"'{result}'" not in stripped.replace('"', "'"):
                    register(result)
            return result
        except UnresolvedError as error:
            message = str(error) if str(error).startswith("in '${{") else f"in '${{{{ {shown} }}}}': {error}"
            raise UnresolvedError(
                message, hint=error.hint, valid=error.valid, always=error.always, key=error.key
            ) from None
        except ExpressionError as error:
            # from the start of the reference: '${{' and the blanks after it
            offset = None if error.offset is None else error.offset + 3 + len(text) - len(text.lstrip())
            message = f"in '${{{{ {shown} }}}}': {error}"
            raise UnresolvedError(message, offset=offset) from None

    # ---- values ------------------------------------------------------------------------------

    def variable(self, name: str, scope: Scope, chain: tuple[str, ...]) -> Any:
        """Value of a variable seen from `scope`, while the variables of `chain` are being resolved."""
        folded = name.casefold()
        found = scope.find(name)
        if found is None:
            return self._from_outside(name, scope)
        if folded in scope.resolved:
            kept, secret = scope.resolved[folded]
            self._secrets += secret
            return self._copy(kept)
        written, value = found
        if folded in chain:
            raise _circle(chain[chain.index(folded) :], folded)
        secrets = self._secrets
        try:
            resolved = self.value(value, scope, (*chain, folded))
        except UnresolvedError as error:
            if error.always or chain:
                raise
            msg = f"variable {written!r}: {error}"
            raise UnresolvedError(msg, hint=error.hint, valid=error.valid) from None
        if is_secret_name(written):
            self._secrets += 1
            register(resolved)
        scope.resolved[folded] = resolved, self._secrets > secrets
        return self._copy(resolved)

    def value(self, value: Any, scope: Scope, chain: tuple[str, ...], depth: int = 0) -> Any:
        """A value that is not part of the tree: of a variable or of an object inside an expression."""
        if len(chain) > MAX_CHAIN:
            msg = f"more than {MAX_CHAIN} variables refer to one another: {' -> '.join(chain[:4])} -> …"
            raise UnresolvedError(msg, always=True, key="chain")
        if depth > MAX_DEPTH:
            msg = f"mappings and lists stand more than {MAX_DEPTH} deep in one another"
            raise UnresolvedError(msg, always=True, key="depth")
        revealed = plain(value)
        self._secrets += revealed is not value
        value = revealed
        if type(value) is str:
            return self._text(value, scope, (), chain) if "${" in value else value
        if isinstance(value, dict):
            return {key: self.value(item, scope, chain, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)([self.value(item, scope, chain, depth + 1) for item in value])
        return value

    def once(self, key: tuple[int, object], compute: Callable[[], Any]) -> Any:
        """A value that is asked for again and again, computed once; whether a secret is in it is kept too."""
        if key in self._once:
            kept, secret = self._once[key]
            self._secrets += secret
            if isinstance(kept, UnresolvedError):
                raise kept.with_traceback(None)
            return kept
        secrets = self._secrets
        try:
            value = compute()
        except UnresolvedError as failure:
            if failure.always:
                self._once[key] = failure, False
            raise
        self._once[key] = value, self._secrets > secrets
        return value

    def _copy(self, value: Any) -> Any:
        try:
            return self._copies.copy(value)
        except OverflowError:
            msg = "variables repeat one another to more than a million values"
            raise UnresolvedError(msg, always=True, key="growth") from None

    def _from_outside(self, name: str, scope: Scope) -> Any:
        value = os.environ.get(name)
        if value is not None:
            if is_secret_name(name):
                self._secrets += 1
                register(value)
            return value
        from laktory.settings import OLD_NAMES, Settings

        if name.lower() in Settings.model_fields or name.lower() in OLD_NAMES:
            return _setting(name)
        known = scope.known if len(self.problems) < MAX_SHOWN else []
        hint = closest(name, known)
        spelled = next((key for key in os.environ if key.casefold() == name.casefold()), None)
        if hint is None and spelled is not None:
            hint = f"the environment has {spelled!r}; environment variables are found by their exact name"
        if hint is None:
            hint = f"define it under 'variables', pass it in, or set an environment variable named exactly {name!r}"
        msg = f"variable {name!r} is not defined"
        raise UnresolvedError(msg, hint=hint, valid=known[:_SHOWN])


def _setting(name: str) -> Any:
    from laktory.settings import OLD_NAMES, Settings, settings

    field = OLD_NAMES.get(name.lower(), name.lower())
    if field not in Settings.model_fields:
        names = sorted(Settings.model_fields)
        msg = f"there is no setting {name!r}"
        raise UnresolvedError(msg, hint=closest(name, names), valid=names)
    return getattr(settings, field)


def _circle(members: tuple[str, ...], closing: str) -> UnresolvedError:
    if len(members) == 1:
        msg = f"variable {closing!r} cannot reference itself or a parent's definition of the same name"
    else:
        msg = f"variables refer to each other in a circle: {' -> '.join([*members, closing])}"
    return UnresolvedError(msg, always=True, key=frozenset(members))
