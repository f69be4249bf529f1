"""What every fuzz test shares: budgets, and limits of time and memory for each example.

An example is looked at twice. Inside, it may use `CPU_SECONDS` and let the process's largest size grow by `MEGABYTES`;
more is a failing example, which hypothesis makes smaller. Outside, a process of its own (`watching.py`) kills the tests
when an example runs for `WALL_SECONDS` or takes `RUNAWAY_MEGABYTES`: it writes down the input, which no longer returns.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings

from laktory.errors import DefinitionError, LaktoryError

CPU_SECONDS = 5.0
MEGABYTES = 300
WALL_SECONDS = 120
RUNAWAY_MEGABYTES = 2_000

LONG = int(os.environ.get("LAKTORY_FUZZ_EXAMPLES", "0"))
"""Examples of each target in the long form; 0 in the short one."""

SHOWN = 100_000
_INTERNALS = ("Traceback (most", " object at 0x", "pydantic", "sqlglot", "input_value=")


class Notes:
    """The example under way, where the watching process finds it."""

    file: Path | None = None
    target = ""
    examples = 0
    refused = 0

    @classmethod
    def write(cls, shown: str | None) -> None:
        if cls.file is not None:
            started = time.monotonic() if shown is not None else None
            note = {"target": cls.target, "examples": cls.examples, "refused": cls.refused, "started": started}
            beside = cls.file.with_suffix(".new")
            beside.write_text(json.dumps({**note, "input": (shown or "")[:SHOWN]}), "utf-8")
            beside.replace(cls.file)


def budget(examples: int) -> Callable[[Any], Any]:
    """So many examples in `make test`; in `make fuzz` as many as it says, drawn from a random seed."""
    checks = [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.large_base_example,
    ]
    checks += [HealthCheck.function_scoped_fixture]
    if LONG:
        return settings(
            settings.get_profile("search"),
            max_examples=LONG,
            deadline=None,
            suppress_health_check=checks,
            print_blob=True,
        )
    phases = [Phase.explicit, Phase.generate, Phase.shrink]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks, phases=phases, database=None)


@contextmanager
def example(*inputs: object) -> Iterator[None]:
    """One example: an error of ours is an answer, anything else, and too much time or memory, is a find."""
    Notes.examples += 1
    Notes.write("\n".join(item if isinstance(item, str) else repr(item) for item in inputs))
    started, size = time.process_time(), _largest()
    try:
        yield
    except LaktoryError as error:
        Notes.refused += 1
        check_message(error)
    except ExceptionGroup as group:
        Notes.refused += 1
        for error in leaves(group):
            if not isinstance(error, LaktoryError):
                raise
            check_message(error)
    finally:
        Notes.write(None)
    used, grown = time.process_time() - started, _largest() - size
    assert used < CPU_SECONDS, f"took {used:.1f} s"
    assert grown < MEGABYTES, f"took {grown:.0f} MB"


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for item in error.exceptions for leaf in leaves(item)]
    return [error]


def check_message(error: LaktoryError) -> None:
    """Told to a user: something, not too much, and nothing of how it is made."""
    text = str(error)
    assert text.strip(), f"{type(error).__name__} without a message"
    problems = getattr(error, "problems", ())
    assert len(text) < 1_200 * (len(problems) + 1), f"a message of {len(text)} characters: {text[:2000]!r}"
    assert isinstance(error, DefinitionError) or len(text.splitlines()) <= 15, text
    found = [word for word in _INTERNALS if word in text]
    assert not found, f"{found} in {text!r}"


def _largest() -> float:
    """Largest size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
