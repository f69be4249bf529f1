"""Every exception Laktory raises on purpose.

::

    LaktoryError
    ├── DefinitionError (ValueError)         the definition or the call is wrong: exit code 2
    │   └── ExpressionError                  a string that holds code says something it may not
    ├── UnsupportedError (NotImplementedError)  Laktory, or the chosen engine, cannot do this: exit code 2
    │   ├── DataQualityExpectationsNotSupported  a rule that needs all rows, on a stream
    │   └── UnsupportedNameError (AttributeError)  a name of another release that this one does not have
    ├── MissingDependencyError (ImportError) an optional package is not installed: exit code 2
    └── RunError (RuntimeError)              the run failed, earlier outputs are intact: exit code 1
        ├── SourceError                      a source cannot be read
        ├── StepError                        a transformer step, or a rule, cannot be computed
        │   └── MissingColumnError           it names a column that is not there
        ├── DataQualityCheckFailedError      rows do not meet an expectation whose failure stops the node
        ├── SinkError                        an output cannot be staged or committed
        ├── TargetLockedError                another run holds the pipeline or a target
        └── RunInterrupted                   the run was stopped from outside
"""

from __future__ import annotations

from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from laktory.diagnostics import Problem

__all__ = [
    "DataQualityCheckFailedError",
    "DataQualityExpectationsNotSupported",
    "DataQualityWarning",
    "DefinitionError",
    "ExpressionError",
    "LaktoryError",
    "MissingColumnError",
    "MissingDependencyError",
    "RunError",
    "RunInterrupted",
    "SinkError",
    "SourceError",
    "StepError",
    "TargetLockedError",
    "UnsupportedError",
    "UnsupportedNameError",
    "shortened",
    "within",
]


class LaktoryError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with.

    Attributes
    ----------
    path : tuple[str | int, ...]
        For what happened while a node ran: where in the node, e.g. ``("sources", 0, "filter")``. Empty when unknown.
    facts : Mapping[str, Any]
        What had been found about the rules of the node, as in the run record. Empty when they were not judged.
    """

    exit_code: ClassVar[int] = 1
    path: tuple[str | int, ...] = ()
    facts: Mapping[str, Any] = MappingProxyType({})

    def __str__(self) -> str:
        return shortened(super().__str__())


MAX_LINES = 10
MAX_CHARACTERS = 1200
"""Nobody reads more of one error."""


def shortened(text: str) -> str:
    """The beginning of a text, at most `MAX_LINES` and `MAX_CHARACTERS` of it."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        text = "\n".join([*lines[: MAX_LINES - 1], f"… and {len(lines) - MAX_LINES + 1} more lines"])
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"


@contextmanager
def within(*path: str | int) -> Iterator[None]:
    """What fails here belongs to this part of the declaration: `path` comes before the error's own."""
    try:
        yield
    except LaktoryError as error:
        error.path = (*path, *error.path)
        raise


class DefinitionError(LaktoryError, ValueError):
    """The definition, or the way it was called, is wrong. Nothing was read or written.

    Attributes
    ----------
    problems : tuple[Problem, ...]
        Every problem found, in the order of the file. Empty for a single plain message.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        # every problem is shortened by itself
        return str(self.args[0]) if self.problems else super().__str__()


class ExpressionError(DefinitionError):
    """A string that holds code cannot be parsed, or asks for something outside the allow-list.

    Attributes
    ----------
    offset : int | None
        0-based character offset of the offending part in the expression text, when known.
    """

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class UnsupportedError(LaktoryError, NotImplementedError):
    """Laktory or the chosen engine cannot do what is asked; the message says what can."""

    exit_code: ClassVar[int] = 2


class DataQualityExpectationsNotSupported(UnsupportedError):  # noqa: N818 - the name that scripts use
    """A rule that has to know all rows, on a stream."""

    def __init__(self, expectation: Any, node: Any = None) -> None:
        name = getattr(node, "name", node)
        msg = f"Expectation '{expectation.name}' is not supported for streaming DataFrame on node '{name}'."
        super().__init__(f"{msg} Only ROW type expectations with 0 absolute tolerances are allowed.")


class UnsupportedNameError(UnsupportedError, AttributeError):
    """A name that other releases have; an `AttributeError` too, so that `hasattr` says no."""


class MissingDependencyError(LaktoryError, ImportError):  # type: ignore[misc]  # `path` is ours, not of a module
    """An optional package is missing; the message holds the exact install line."""

    exit_code: ClassVar[int] = 2


class RunError(LaktoryError, RuntimeError):
    """The run failed. Outputs committed before the failure stay; everything else is as it was.

    Attributes
    ----------
    node : str | None
        The node that failed.
    told : str | None
        The message with all that is known of where it happened; what `str` gives. None: the message alone.
    """

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.told: str | None = None

    def __str__(self) -> str:
        return shortened(self.told) if self.told else super().__str__()


class SourceError(RunError):
    """A source is missing, unreadable or not what its declaration says."""


class StepError(RunError):
    """A transformer step (SQL or method) failed.

    Attributes
    ----------
    step : int | None
        0-based number of the step in its transformer, when known.
    """

    step: int | None = None


class MissingColumnError(StepError):
    """A column that is named is not there."""


class DataQualityCheckFailedError(RunError):
    """Rows of a node do not meet an expectation whose failure stops it. Nothing of the node is visible.

    Parameters
    ----------
    expectation : the rule, with its outcome
    node : node, or its name
    """

    def __init__(self, expectation: Any, node: Any = None, check: Any = None) -> None:
        name = getattr(node, "name", node)
        check = check or expectation.check
        parts = [f"Expectation '{expectation.name}' failed on node '{name}'", f"expr: {expectation.text}"]
        parts += [check.summary] if check is not None else []
        if expectation.action != "FAIL":
            parts.append(f"fail_above: {expectation.fail_above}")
        super().__init__(" | ".join(parts), node=name)
        self.expectation = expectation


class SinkError(RunError):
    """An output could not be staged or committed; what stood at the target still stands."""


class TargetLockedError(RunError):
    """Another run is using this pipeline or one of its targets."""


class RunInterrupted(RunError):  # noqa: N818 - named for what happened, not for a fault
    """The run was stopped by Ctrl-C or a signal."""


class DataQualityWarning(UserWarning):
    """Rows of a node do not meet an expectation, and the run goes on."""
