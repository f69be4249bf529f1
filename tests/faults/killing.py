"""One project, killed at every call; after each kill, whatever is promised is looked at."""

from __future__ import annotations

import random
import shutil
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from projects import OLD, Project, check_seen, copied, decided, held, litter, ordered, succeeded
from warm import Warm

CHECKS = ("resumed", "again", "resumed_twice", "pruned", "moved", "copied")
"""What may follow a kill: methods of `Killing`."""


@dataclass
class Report:
    """What was tried and what went wrong."""

    points: int = 0
    counts: Counter = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class Killing:
    """A project on one engine, ready to be killed again and again."""

    def __init__(self, warm: Warm, project: Project, backend: str, place: Path, seed: int = 0) -> None:
        self.warm, self.project, self.backend, self.place = warm, project, backend, place
        self.template, self.folder = place / "template", place / "project"
        self.random = random.Random(f"{project.name} {backend} {seed}")
        self.report = Report()
        project.build(self.template)
        if not project.fresh:
            project.give(self.template, OLD)
            done = warm.run(self.template, backend)
            assert done.error is None, f"{project.name}: {done.error}"
        self.before = held(self.template, project)
        for path, rows in self.before.items():
            assert rows == (None if project.fresh else ordered(project.sinks[path][1].of(OLD))), (
                project.name,
                path,
                rows,
            )
        project.give(self.template, project.new)
        self.known = succeeded(self.template)
        copied(self.template, self.folder)
        done = self._run()
        self.calls, self.seconds = done.calls, done.seconds
        assert held(self.folder, project) == project.applied(self.before), project.name
        assert not litter(self.folder), litter(self.folder)

    def one(self, name: str, **how: object) -> None:
        """Kill once and look: `name` is one of the methods below."""
        copied(self.template, self.folder)
        done = self.warm.run(self.folder, self.backend, **self.project.options, **how)
        if done.error is not None:
            self._violated(name, how, done.error)
            return
        self.report.points += done.killed
        self.report.counts[name] += done.killed
        try:
            seen = held(self.folder, self.project)
            check_seen(self.project, self.before, seen)
            getattr(self, name)(seen)
        except Exception as error:  # noqa: BLE001 - all of them are told together
            last = traceback.extract_tb(error.__traceback__)[-1]
            self._violated(name, how, f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")

    # ---- what may follow a kill ----------------------------------------------------------------

    def resumed(self, _seen) -> None:
        """Resuming gives the rows of an uninterrupted run, each once."""
        calls, through = self._custom_calls()
        self._resume(self.folder)
        assert not self.project.custom or self._custom_calls()[0] == calls + (not through), "calls of the custom writer"

    def again(self, seen) -> None:
        """A plain run gives what a plain run gives on what the killed one has committed."""
        start = decided(self.folder, self.project, self.before, seen)
        self._run()
        self._holds(self.folder, self.project.applied(start))

    def resumed_twice(self, _seen) -> None:
        """The run that resumes is killed as well."""
        done = self._succeeded(self.folder)
        self.warm.run(self.folder, self.backend, resume=True, **self._second(), **self.project.options)
        check_seen_any(self.project, self.before, held(self.folder, self.project), 1 + len(done))
        self._resume(self.folder, done)

    def pruned(self, _seen) -> None:
        """Only one run is kept, so that whatever is tidied up is tidied up now; killed there too."""
        done = self._succeeded(self.folder)
        second = {**self._second(), "kept_runs": 1}
        self.warm.run(self.folder, self.backend, resume=True, **second, **self.project.options)
        self._resume(self.folder, done, kept_runs=1)

    def moved(self, _seen) -> None:
        """The project is moved before it is resumed."""
        there = self.folder.with_name("moved")
        shutil.rmtree(there, ignore_errors=True)
        self.folder.rename(there)
        self._resume(there)

    def copied(self, _seen) -> None:
        """A copy is resumed, or refused; the original has nothing to do with it."""
        there = copied(self.folder, self.folder.with_name("copied"))
        seen, times = held(self.folder, self.project), 1 + len(self._succeeded(there))
        done = self.warm.run(there, self.backend, resume=True, **self.project.options)
        if done.error is None:
            self._holds(there, self.project.applied(self.before, times))
        else:
            assert "cannot resume" in done.error, done.error
        assert held(self.folder, self.project) == seen, "resuming the copy has changed the original"
        self._resume(self.folder)

    # ---- parts of it ---------------------------------------------------------------------------

    def _second(self) -> dict[str, object]:
        return {"kill_at": self.random.randint(1, self.calls + 20)}

    def _run(self, **options: object):
        done = self.warm.run(self.folder, self.backend, **self.project.options, **options)
        assert done.error is None, done.error
        return done

    def _succeeded(self, folder: Path) -> set[str]:
        return succeeded(folder) - self.known

    def _resume(self, folder: Path, earlier: set[str] = frozenset(), kept_runs: int | None = None) -> None:
        """A job ends with the run that succeeds; the one after it is a new run."""
        times = 1 + len(earlier | self._succeeded(folder))
        kept = {} if kept_runs is None else {"kept_runs": kept_runs}
        done = self.warm.run(folder, self.backend, resume=True, **kept, **self.project.options)
        assert done.error is None, done.error
        self._holds(folder, self.project.applied(self.before, times), kept_runs)

    def _holds(self, folder: Path, wanted: dict, kept_runs: int | None = None) -> None:
        found = held(folder, self.project)
        for path, rows in wanted.items():
            assert found[path] == rows, f"{path} holds {_ids(found[path])}, not {_ids(rows)}"
        left = litter(folder, kept_runs)
        assert not left, f"left: {left}"

    def _custom_calls(self) -> tuple[int, bool]:
        """How often the user's writer wrote the new rows, and whether the killed run knows that it got through."""
        if not self.project.custom:
            return 0, False
        log = self.folder / "custom.jsonl"
        text = log.read_text() if log.exists() else ""
        last = max((self.folder / ".laktory/pipelines/p/runs").glob("*/ledger.jsonl"))
        open_ = not self._succeeded(self.folder) and last.parent.name not in self.known
        return text.count('"id": 5,'), open_ and "custom_writers" in last.read_text()

    def _violated(self, name: str, how: dict[str, object], what: str) -> None:
        shown = ", ".join(f"{key}={value}" for key, value in how.items())
        self.report.violations.append(f"{self.project.name} on {self.backend}, {name}, {shown}: {what}")


def check_seen_any(project: Project, before: dict, seen: dict, times: int) -> None:
    """After the second kill, rows are those after any number of whole runs up to `times`."""
    states = [project.applied(before, count) for count in range(times + 1)]
    for path, rows in seen.items():
        _, sink = project.sinks[path]
        if not (sink.partitioned and sink.mode == "APPEND" and sink.format != "DELTA"):
            assert rows in [state[path] for state in states], f"{path}: neither old nor new: {_ids(rows)}"


def _ids(rows):
    return None if rows is None else [row["id"] for row in rows]
