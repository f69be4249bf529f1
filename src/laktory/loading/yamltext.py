"""YAML text → nodes, from the parser's events, without recursion."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from laktory.diagnostics import Problem, closest
from laktory.diagnostics.secrets import register_variables
from laktory.loading.nodes import MAX_DEPTH, Copies, Include, Node, Place, SourceFile, TextError, is_merge
from laktory.loading.problems import key_problems, too_deep, too_large, yaml_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from laktory.loading.nodes import Point

__all__ = ["compose_yaml", "dump_yaml"]

_VERBS = {"!use": "use", "!extend": "extend", "!update": "update"}
_PLACEHOLDER = re.compile(r"[^\W\d][\w.-]*")
_TAG = "tag:yaml.org,2002:"
_KINDS = {"timestamp": "date", "int": "whole number", "float": "number", "bool": "boolean", "binary": "Base64 text"}
_MISSING = object()


@cache
def _builders() -> dict[str, Callable[[yaml.ScalarNode], Any]]:
    build = yaml.constructor.SafeConstructor()
    return {
        "null": lambda _: None,
        "bool": build.construct_yaml_bool,
        "int": build.construct_yaml_int,
        "float": build.construct_yaml_float,
        "binary": build.construct_yaml_binary,
        "timestamp": build.construct_yaml_timestamp,
    }


class _Open:
    """A mapping or list whose end has not come yet."""

    __slots__ = ("event", "items")

    def __init__(self, event: Any) -> None:
        self.event = event
        self.items: list[Node] = []


def compose_yaml(file: SourceFile, problems: list[Problem], copies: Copies) -> Node | None:
    """The root node of a YAML text, None when it holds nothing. What is wrong is added to `problems`.

    Raises
    ------
    TextError
        If the text cannot be read to its end.
    """
    composer = _Composer(file, problems, copies)
    try:
        return composer.compose()
    except (yaml.YAMLError, UnicodeEncodeError) as error:
        raise TextError(yaml_problem(file, error)) from None
    except OverflowError:
        raise TextError(too_large(file.position(composer.alias)), final=True) from None


class _Composer:
    def __init__(self, file: SourceFile, problems: list[Problem], copies: Copies) -> None:
        self.file = file
        self.problems = problems
        self.copies = copies
        self.anchors: dict[str, Node | None] = {}
        self.scalars: dict[str, Any] = {}
        self.resolver: Any = yaml.resolver.Resolver()
        self.old_include = "${include." in file.text
        self.alias: Point = Place(0, 0)

    def compose(self) -> Node | None:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(self.file.text)
        try:
            return self._compose(loader.get_event)
        finally:
            loader.dispose()

    def _compose(self, next_event: Callable[[], Any]) -> Node | None:
        stack: list[_Open] = []
        roots: list[Node] = []
        while True:
            event = next_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                node = self._scalar(event)
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if len(stack) >= MAX_DEPTH:
                    raise TextError(too_deep(self.file.position(event.start_mark)))
                if event.anchor:
                    self.anchors[event.anchor] = None
                stack.append(_Open(event))
                continue
            elif kind is yaml.MappingEndEvent:
                node = self._mapping(stack.pop(), event.end_mark)
            elif kind is yaml.SequenceEndEvent:
                node = self._sequence(stack.pop(), event.end_mark)
            elif kind is yaml.AliasEvent:
                node = self._alias(event)
            elif kind is yaml.StreamEndEvent:
                break
            else:
                if kind is yaml.DocumentStartEvent and roots:
                    message = "a second document starts here; a definition is one document"
                    raise TextError(
                        Problem(message, hint="remove the '---'", position=self.file.position(event.start_mark))
                    )
                continue
            (stack[-1].items if stack else roots).append(node)
        root = roots[0] if roots else None
        return (
            None
            if root is None or (root.value is None and root.start.line == root.end.line and root.width <= 1)
            else root
        )

    def _report(self, message: str, event: Any, **parts: Any) -> None:
        self.problems.append(Problem(message, position=self.file.position(event.start_mark), **parts))

    # ---- scalars -----------------------------------------------------------------------------

    def _scalar(self, event: Any) -> Node:
        text, tag = event.value, event.tag
        plain = event.implicit[0] and tag in (None, "!")
        if plain:
            value = self.scalars.get(text, _MISSING)
            if value is _MISSING:
                value = self._plain(event)
        elif tag is None or tag == "!":
            value = text
        elif tag in _VERBS:
            value = Include(_VERBS[tag], text.strip())
        else:
            value = self._tagged(event)
        node = Node(value, event.start_mark, event.end_mark, self.file, event.style or "")
        if type(value) is Include:
            node.pending = True
        elif self.old_include and type(value) is str and "${include." in value:
            hint = "write 'key: !use file.yaml', '- !extend file.yaml' or '<<: !update file.yaml'"
            self._report("'${include.…}' is not supported any more", event, hint=hint)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _plain(self, event: Any) -> Any:
        tag = self.resolver.resolve(yaml.ScalarNode, event.value, (True, False))
        value = self._build(tag, event)
        self.scalars[event.value] = value
        return value

    def _build(self, tag: str, event: Any) -> Any:
        kind = tag.removeprefix(_TAG)
        builder = _builders().get(kind)
        if builder is None:
            return event.value
        try:
            return builder(yaml.ScalarNode(tag, event.value))
        except Exception:  # noqa: BLE001 - a text that is not of the tag's form fails there in any way
            name = _KINDS.get(kind, kind)
            text = event.value if len(event.value) <= 40 else event.value[:40] + "…"
            hint = f"remove '!!{kind}' to keep the text" if event.tag else "quote it to keep the text"
            self._report(f"{text!r} is read as a {name} but is none", event, hint=hint)
            return event.value

    def _tagged(self, event: Any) -> Any:
        kind = event.tag.removeprefix(_TAG)
        if event.tag.startswith(_TAG) and (kind == "str" or kind in _builders()):
            return self._build(event.tag, event)
        self._unknown_tag(event)
        return event.value

    def _unknown_tag(self, event: Any) -> None:
        shown = event.tag.replace(_TAG, "!!")
        self._report(f"unknown tag {shown!r}", event, valid="!use, !extend, !update", hint=closest(shown, _VERBS))

    # ---- containers --------------------------------------------------------------------------

    def _close(self, opened: _Open, value: Any, end: Any) -> Node:
        event = opened.event
        if event.tag in _VERBS:
            self._report(f"{event.tag} takes the path of a file", event, hint=f"write '{event.tag} file.yaml'")
        elif event.tag not in (None, "!", f"{_TAG}map", f"{_TAG}seq"):
            self._unknown_tag(event)
        node = Node(value, event.start_mark, end, self.file)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _sequence(self, opened: _Open, end: Any) -> Node:
        items = opened.items
        node = self._close(opened, [], end)
        node.children = items
        if any(item.pending for item in items):
            node.pending = True
        else:
            node.value = [item.value for item in items]
        return node

    def _mapping(self, opened: _Open, end: Any) -> Node:
        items = opened.items
        placeholder = self._placeholder(opened)
        if placeholder is not None:
            return Node(placeholder, opened.event.start_mark, end, self.file)
        for key in items[::2]:
            if isinstance(key.value, bool) and key.start.line == key.end.line:
                # `on: id` is the argument of a join, not the truth value that YAML 1.1 sees
                key.value = self.file.lines[key.start.line][key.start.column : key.end.column]
        node = self._close(opened, {}, end)
        pairs = list(zip(items[::2], items[1::2], strict=True))
        try:
            children = {key.value: (key, item) for key, item in pairs}
        except TypeError:  # a mapping or list as a key
            children = {}
        merges = "<<" in children and any(is_merge(key) for key, _ in pairs)
        if len(children) < len(pairs) or any(key.pending for key, _ in pairs):
            self.problems += key_problems(pair for pair in pairs if not is_merge(pair[0]))
        if merges or any(item.pending for _, item in pairs):
            node.pending = True
            node.children = pairs
        else:
            node.children = children
            node.value = {key: item.value for key, (_, item) in children.items()}
        if "variables" in children:
            register_variables(children["variables"][1].value)
        return node

    def _placeholder(self, opened: _Open) -> str | None:
        """``{df}``: to YAML a mapping of one key without a value, to us a text."""
        items, event = opened.items, opened.event
        if len(items) != 2 or not event.flow_style or event.tag is not None or event.anchor:
            return None
        key, value = items
        if value.value is not None or value.start.column != value.end.column or value.style or key.style or key.pending:
            return None
        line = self.file.lines[key.start.line] if key.start.line < len(self.file.lines) else ""
        name = line[key.start.column : key.end.column]
        return f"{{{name}}}" if key.start.line == key.end.line and _PLACEHOLDER.fullmatch(name) else None

    def _alias(self, event: Any) -> Node:
        name = event.anchor
        if self.anchors.get(name, _MISSING) is None:
            raise TextError(
                Problem(f"alias '*{name}' stands inside what it repeats", position=self.file.position(event.start_mark))
            )
        anchor = self.anchors.get(name)
        if anchor is None:
            hint = closest(name, self.anchors) or "quote a text that starts with '*'"
            self._report(f"there is no anchor '&{name}' above", event, hint=hint)
            return Node(None, event.start_mark, event.end_mark, self.file, "*")
        if anchor.pending:
            return anchor
        self.alias = event.start_mark
        # positions inside the copy are those of the anchor: that is the text to change
        return Node(
            self.copies.copy(anchor.value),
            anchor.start,
            anchor.end,
            anchor.file,
            anchor.style,
            children=anchor.children,
        )


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, so that people can read them."""


def _text_node(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(f"{_TAG}str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text_node)


def dump_yaml(value: Any) -> str:
    """Plain values as YAML text, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
