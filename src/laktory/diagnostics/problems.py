"""Problems of a definition: collected, shown together, raised once."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import PurePath
from typing import TYPE_CHECKING, NoReturn

from laktory.diagnostics.marks import field_name
from laktory.diagnostics.secrets import MASK, masked, redact, written_spans
from laktory.errors import MAX_CHARACTERS, DefinitionError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from laktory.diagnostics.marks import Marks, Path, Position

__all__ = ["MAX_SHOWN", "Problem", "closest", "closest_file", "place_in", "placed", "raise_problems", "render"]

MAX_SHOWN = 20
"""Problems shown of one definition; hints for more are not worth looking for."""
MAX_LINE = 160
MAX_TEXT = 300
_MIN_BEGINNING = 3
_LONG_WORD = re.compile(r"\S{160,}")

# a tab is one column of the file and one cell here; what would move the cursor or the colours is not shown
_BLANKS = dict.fromkeys((*range(32), 127, *range(128, 160), 8232, 8233, *range(8234, 8239), *range(8294, 8298)), " ")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a definition.

    Attributes
    ----------
    message : what is wrong, one sentence, without the place
    path : where in the definition, e.g. ``("nodes", 0, "sinks", 1, "mode")``
    valid : what would be right: values, names, or a short phrase
    hint : what to write instead, e.g. ``did you mean 'mode'?``
    on_key : the key itself is at fault (unknown field), not its value
    line, column : 1-based place inside the text of the value, for problems within SQL or an expression
    position : overrides what `path` says, for problems found while parsing, and for those placed already
    width : characters to underline at `position`
    """

    message: str
    path: Path = ()
    valid: Sequence[str] | str = ()
    hint: str | None = None
    on_key: bool = False
    line: int | None = None
    column: int | None = None
    position: Position | None = None
    width: int = 1


def place_in(text: str, offset: int | None) -> tuple[int, int | None]:
    """Line and column, both from 1, of an offset in a text; where it is not known, the first line."""
    if offset is None:
        return 1, None
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def closest(name: object, candidates: Iterable[str]) -> str | None:
    """``did you mean 'x'?`` for the closest candidate, or one that begins alike (`sep`, `separator`), or None.

    Case does not matter.
    """
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    return _did_you_mean(_close(str(name).casefold(), by_folded), by_folded)


def closest_file(name: str, candidates: Iterable[str]) -> str | None:
    """`closest` for names of files, whose endings are mostly the same and say nothing."""
    by_stem = {PurePath(candidate).stem.casefold(): candidate for candidate in candidates}
    return _did_you_mean(_close(PurePath(name).stem.casefold(), by_stem), by_stem)


def _close(folded: str, candidates: Collection[str]) -> str | None:
    match = get_close_matches(folded, candidates, n=1, cutoff=0.6)
    if match or len(folded) < _MIN_BEGINNING:
        return match[0] if match else None
    return min((candidate for candidate in candidates if candidate.startswith(folded)), key=len, default=None)


def _did_you_mean(match: str | None, candidates: Mapping[str, str]) -> str | None:
    return f"did you mean {candidates[match]!r}?" if match is not None else None


def render(problem: Problem, marks: Marks | None = None, *, limit: int = MAX_TEXT) -> str:
    """At most six lines: place and message, cut at `limit`, the line with a caret, what is valid, a hint.

    With the usual limit, at most 1,200 characters.
    """
    position, width = _place(problem, marks)
    head = f"{position}: " if position else ""
    name = field_name(problem.path)
    if name and not problem.on_key:
        head += f"{name}: "
    elif len(problem.path) > 1:
        head += f"{field_name(problem.path[:-1])}: "
    # a value of any length hides nothing of what is said about it
    message = _LONG_WORD.sub(lambda found: f"{found[0][:80]}…{found[0][-20:]}", " ".join(problem.message.split()))
    parts = [_cut(head + message, limit)]
    source = marks.line(position) if marks and position else None
    if position and source is not None:
        parts += _snippet(source, position, width)
    hint = [_cut(f"  {problem.hint}", MAX_TEXT)] if problem.hint else []
    if problem.valid:
        valid = problem.valid if isinstance(problem.valid, str) else ", ".join(problem.valid)
        left = MAX_CHARACTERS - sum(len(part) + 1 for part in (*parts, *hint))
        parts.append(_cut(f"  valid: {valid}", max(MAX_TEXT // 2, min(MAX_TEXT, left))))
    parts += hint
    return "\n".join(parts)


def raise_problems(problems: Sequence[Problem], marks: Marks | None = None) -> NoReturn:
    """Raise one `DefinitionError` that shows every problem.

    Raises
    ------
    DefinitionError
        Always.
    """
    if marks is not None:
        problems = _in_order([placed(problem, marks) for problem in problems], marks)
    shown = [render(problem, marks) for problem in problems[:MAX_SHOWN]]
    if len(problems) > MAX_SHOWN:
        shown.append(f"… and {len(problems) - MAX_SHOWN} more problems")
    raise DefinitionError("\n".join(shown), problems)


def _in_order(problems: Sequence[Problem], marks: Marks) -> list[Problem]:
    """From the top of the first file to the bottom of the last."""
    files = {path: number for number, path in enumerate(marks.lines)}

    def place(problem: Problem) -> tuple[int, int, int]:
        position, _ = _place(problem, marks)
        if position is None:
            return len(files), 0, 0
        return files.get(position.path, len(files)), position.line, position.column

    return sorted(problems, key=place)


def placed(problem: Problem, marks: Marks | None) -> Problem:
    """The problem with its position; it keeps that one whatever marks it meets later."""
    position, width = _place(problem, marks)
    return replace(problem, position=position, width=width)


def _place(problem: Problem, marks: Marks | None) -> tuple[Position | None, int]:
    if problem.position is not None or marks is None:
        return problem.position, problem.width
    if problem.on_key:
        found = marks.nearest(problem.path)
        if found is not None and found[1] and found[0].key is not None:
            return found[0].key, found[0].key_width
    return marks.place(problem.path, problem.line, problem.column) or (None, 1)


def _snippet(source: str, position: Position, width: int) -> list[str]:
    """The line and a caret below it. Columns count characters; the caret counts cells of a terminal."""
    source = source.rstrip()
    start = min(position.column - 1, len(source))
    end = min(start + width, len(source))
    source, start, end = _masked(source, start, end)
    source = source.translate(_BLANKS)
    left = max(0, start - MAX_LINE // 2) if len(source) > MAX_LINE else 0
    text, cut = source[left : left + MAX_LINE], len(source) > left + MAX_LINE
    before, marked = text[: start - left], text[start - left : end - left]
    if left:
        text, before = "…" + text, "…" + before
    gutter = f"{position.line:>5} | "
    caret = " " * (len(gutter) - 2) + "| " + " " * _cells(before) + "^" * max(1, _cells(marked))
    return [gutter + text + ("…" if cut else ""), caret]


def _masked(source: str, start: int, end: int) -> tuple[str, int, int]:
    """The line without its secrets, and where its columns `start` and `end` went."""
    moved_start, moved_end = start, end
    found = written_spans(source)
    for first, last in found:
        shrunk = last - first - len(MASK)
        for_start = shrunk if last <= start else min(start - first, shrunk) if first < start else 0
        for_end = shrunk if last <= end else min(end - first, shrunk) if first < end else 0
        moved_start, moved_end = moved_start - for_start, moved_end - for_end
    return masked(source, found), moved_start, max(moved_end, moved_start)


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 2 if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )  # fmt: skip


def _cut(text: str, limit: int) -> str:
    text = redact(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
