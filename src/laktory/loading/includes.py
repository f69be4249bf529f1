"""Nodes of several files → one definition: ``!use``, ``!extend``, ``!update`` and ``<<``."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from laktory.diagnostics import Marks, Problem, closest_file
from laktory.diagnostics.secrets import register_variables
from laktory.loading.jsontext import compose_json, is_json
from laktory.loading.nodes import MAX_DEPTH, Copies, Include, Node, NodeMarks, Place, SourceFile, TextError, is_merge
from laktory.loading.problems import too_deep, too_large
from laktory.loading.scope import Scope
from laktory.loading.text import neighbours, read_file
from laktory.loading.variables import Resolver

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Includer"]

_YAML = (".yaml", ".yml")
# an include costs as much time as this many copied values
_FILE_COST = 100

_MAPPING_HINT = "a definition is a mapping of 'key: value' lines"

_Entries = dict[Any, tuple[Node, Node]]


class _Context(NamedTuple):
    """Where a node stands: variables in scope, folder of its file, the files that led to it, depth."""

    scope: Scope
    folder: Path
    chain: tuple[tuple[Path, str], ...]
    depth: int

    def below(self, scope: Scope | None = None) -> _Context:
        return self._replace(scope=scope or self.scope, depth=self.depth + 1)


class Includer:
    """Builds one definition from a root text and the files it includes.

    Parameters
    ----------
    folder : where relative paths of the root text start
    root : project folder, which includes may not leave
    vars : variables for include paths
    """

    def __init__(self, folder: Path, root: Path, vars: Mapping[str, Any] | None) -> None:  # noqa: A002
        self._root = root.resolve()
        self._folder = folder
        self._scope = Scope.start(vars=vars)
        self.problems: list[Problem] = []
        self.lines: dict[str, list[str]] = {}
        self._copies = Copies()
        self._composed: dict[Path, Node | None] = {}

    def build(self, file: SourceFile, path: Path | None) -> tuple[Any, Marks]:
        """Plain value and marks of a definition; what is wrong is left in `problems`."""
        chain = ((path.resolve(), file.name),) if path is not None else ()
        try:
            node = self._compose(file)
            if node is not None:
                node = self._expand(node, _Context(self._scope, self._folder, chain, 0))
        except TextError as error:
            self.problems.append(error.problem)
            return None, Marks({}, self.lines)
        if node is None:
            hint = "a definition is an object, as in '{\"name\": …}'" if file.json else _MAPPING_HINT
            self.problems.append(Problem("there is nothing here", hint=hint, position=file.position(Place(0, 0))))
            return None, Marks({}, self.lines)
        return node.value, Marks(NodeMarks(node), self.lines)

    def _compose(self, file: SourceFile) -> Node | None:
        self.lines[file.name] = file.lines
        if file.json or is_json(file.text):
            return compose_json(file, self.problems) if file.text.strip() else None
        from laktory.loading.yamltext import compose_yaml

        return compose_yaml(file, self.problems, self._copies)

    def _report(self, message: str, node: Node, hint: str | None = None) -> None:
        self.problems.append(Problem(message, hint=hint, position=node.position))

    # ---- building ----------------------------------------------------------------------------

    def _expand(self, node: Node, context: _Context) -> Node:
        """The node with everything it includes in its place."""
        if context.depth > MAX_DEPTH:
            raise TextError(too_deep(node.position), final=True)
        try:
            if not node.pending:
                return self._take(node)
            self._copies.count(_FILE_COST if type(node.value) is Include else 1)
        except OverflowError:
            raise TextError(too_large(node.position), final=True) from None
        if type(node.value) is Include:
            return self._value(node, context)
        if type(node.value) is list:
            return self._list(node, context)
        return self._mapping(node, context)

    def _take(self, node: Node) -> Node:
        if not node.taken:
            node.taken = True
            return node
        value = self._copies.copy(node.value)
        return Node(value, node.start, node.end, node.file, node.style, children=node.children)

    def _value(self, node: Node, context: _Context) -> Node:
        verb = node.value.verb
        if verb == "use":
            return self._include(node, context)
        place = "in a list, as '- !extend file.yaml'" if verb == "extend" else "after '<<', as '<<: !update file.yaml'"
        self._report(f"!{verb} stands {place}", node, "to put the content of a file here, write !use")
        return _nothing(node)

    def _list(self, node: Node, context: _Context) -> Node:
        items: list[Node] = []
        for item in node.children:
            if type(item.value) is not Include or item.value.verb != "extend":
                items.append(self._expand(item, context.below()))
                continue
            included = self._include(item, context)
            if type(included.value) is list:
                items += map(_holding, included.children, included.value)
            elif included.value is not None:
                self._wrong_kind(item, included, "a list", "to add it as one item, write !use")
        return Node([item.value for item in items], node.start, node.end, node.file, children=items)

    def _mapping(self, node: Node, context: _Context) -> Node:
        """Entries in the order they are written: a later one wins over what was merged before it."""
        written = next((item for key, item in node.children if key.value == "variables"), None)
        variables = self._expand(written, context.below()) if written is not None else None
        scope = context.scope
        if variables is not None:
            register_variables(variables.value)
            scope = scope.inner(variables.value)
        entries: _Entries = {}
        for key, item in node.children:
            if is_merge(key):
                merged = self._merged(item, context.below(scope))
                entries.update(merged)
                if "variables" in merged and variables is None:
                    scope = scope.inner(merged["variables"][1].value)
            elif item is written and variables is not None:
                entries[key.value] = (key, variables)
            else:
                entries[key.value] = (key, self._expand(item, context.below(scope)))
        value = {key: item.value for key, (_, item) in entries.items()}
        return Node(value, node.start, node.end, node.file, children=entries)

    def _merged(self, node: Node, context: _Context) -> _Entries:
        """Entries that a ``<<`` brings. Of several mappings in a list, an earlier one wins."""
        if type(node.value) is list:
            merged: _Entries = {}
            for item in node.children:
                for key, entry in self._merged(item, context).items():
                    merged.setdefault(key, entry)
            return merged
        updates = type(node.value) is Include and node.value.verb == "update"
        found = self._include(node, context) if updates else self._expand(node, context)
        if type(found.value) is dict:
            return {key: (name, _holding(item, found.value[key])) for key, (name, item) in found.children.items()}
        if type(node.value) is not Include and "${include." not in str(node.value):
            self._report("'<<' merges a mapping", node, "write '<<: *anchor' or '<<: !update file.yaml'")
        elif type(node.value) is Include and found.value is not None:
            self._wrong_kind(node, found, "a mapping", None)
        return {}

    def _wrong_kind(self, node: Node, found: Node, expected: str, hint: str | None) -> None:
        kinds: dict[type, str] = {dict: "a mapping", list: "a list"}
        kind = kinds.get(type(found.value), f"{found.value!r:.40}")
        self._report(f"!{node.value.verb} expects {expected} in {node.value.target!r}, found {kind}", node, hint)

    # ---- files -------------------------------------------------------------------------------

    def _include(self, node: Node, context: _Context) -> Node:
        """The content of the file a node names. A problem leaves a node of None."""
        try:
            target = self._target(node, context.scope)
            path = self._checked(node, target, context.folder)
            name = os.path.normpath(_folder_name(node.file) / target)
            if path.is_dir():
                return self._directory(node, path, name, context)
            return self._file(node, path, name, context)
        except TextError as error:
            if error.final:
                raise
            self.problems.append(error.problem)
            return _nothing(node)

    def _target(self, node: Node, scope: Scope) -> str:
        """The path as written, its variables resolved."""
        written = node.value.target
        target: Any = written
        if "${" in target:
            resolver = Resolver(strict=True)
            target = resolver.resolve(target, scope)
            if resolver.problems:
                first = resolver.problems[0]
                message = f"in the path {written!r}: {first.message}"
                raise TextError(Problem(message, valid=first.valid, hint=first.hint, position=node.position))
        if not isinstance(target, str) or not target:
            message = f"!{node.value.verb} takes the path of a file, found {target!r}"
            raise TextError(Problem(message, position=node.position))
        return target

    def _checked(self, node: Node, target: str, folder: Path) -> Path:
        """Where a target leads, inside the project folder."""
        shown = f"!{node.value.verb} {target!r}"
        try:
            path = folder / target
            real = path.resolve()
            exists = real.exists()
        except (OSError, RuntimeError, ValueError):
            raise TextError(Problem(f"{shown} is no path", position=node.position)) from None
        if not real.is_relative_to(self._root) and not _outside_allowed():
            message = f"{shown} leads out of the project folder {self._root.name!r}"
            hint = "move the file below it, or set LAKTORY_ALLOW_OUTSIDE_INCLUDES=true"
            raise TextError(Problem(message, hint=hint, position=node.position))
        if not exists:
            near = closest_file(path.name, neighbours(path.parent))
            lost = None if path.parent.is_dir() else f"there is no folder {str(PurePath(target).parent)!r}"
            raise TextError(Problem(f"{shown}: there is no such file", hint=near or lost, position=node.position))
        if not real.is_dir() and not real.is_file():
            raise TextError(Problem(f"{shown} is no regular file", position=node.position))
        return path

    def _directory(self, node: Node, path: Path, name: str, context: _Context) -> Node:
        """A list of the contents of the YAML files below a folder, in the order of their paths."""
        found = []
        for folder, folders, files in os.walk(path):
            # editors and systems leave files of their own beside those of the user
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(folder, file) for file in files if file.endswith(_YAML) and not file.startswith(".")]
        if not found:
            message = f"the folder {node.value.target!r} holds no .yaml or .yml file"
            raise TextError(Problem(message, position=node.position))
        items = []
        for relative in sorted(file.relative_to(path).as_posix() for file in found):
            self._checked(node, relative, path)
            items.append(self._file(node, path / relative, f"{name}/{relative}", context.below()))
        return Node([item.value for item in items], node.start, node.end, node.file, children=items)

    def _file(self, node: Node, path: Path, name: str, context: _Context) -> Node:
        real = path.resolve()
        if any(real == earlier for earlier, _ in context.chain):
            names = " -> ".join([*(earlier for _, earlier in context.chain), name])
            raise TextError(Problem(f"files include each other in a circle: {names}", position=node.position))
        if real not in self._composed:
            self._composed[real] = self._read(path, name, node)
        composed = self._composed[real]
        if composed is None:
            message = f"!{node.value.verb} {node.value.target!r}: the file {name!r} is empty"
            raise TextError(Problem(message, position=node.position))
        chain = (*context.chain, (real, name))
        return self._expand(composed, _Context(context.scope, path.parent, chain, context.depth + 1))

    def _read(self, path: Path, name: str, node: Node) -> Node | None:
        """Nodes of one file, read once however often it is included. None when it is empty."""
        try:
            file = SourceFile(name, read_file(path, name, node.position))
            return self._text(file) if path.suffix.lower() == ".sql" else self._compose(file)
        except TextError as error:
            if error.final:
                raise
            self.problems.append(error.problem)
            return Node(None, Place(0, 0), Place(0, 0), SourceFile(name, ""))

    def _text(self, file: SourceFile) -> Node:
        """A whole file as one text."""
        self.lines[file.name] = file.lines
        text = file.text.replace("\r\n", "\n").replace("\r", "\n")
        return Node(text, Place(0, 0), Place(0, len(file.lines[0]) if file.lines else 1), file, "file")


def _nothing(node: Node) -> Node:
    return Node(None, node.start, node.end, node.file)


def _holding(node: Node, value: Any) -> Node:
    """The node with the value its list or mapping has for it, which is another object when that was copied."""
    if node.value is value:
        return node
    return Node(value, node.start, node.end, node.file, node.style, children=node.children)


def _folder_name(file: SourceFile) -> PurePath:
    """Folder of a file as the user knows it; a text without a name stands in the working directory."""
    return PurePath() if file.name.startswith("<") else PurePath(file.name).parent


def _outside_allowed() -> bool:
    from laktory.settings import settings

    return settings.allow_outside_includes
