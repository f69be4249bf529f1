"""The conformance suite: one behaviour, every engine. ``pip install 'laktory[testing]'``.

::

    from laktory.testing import EngineConformance

    class TestMyEngine(EngineConformance):
        backend = "MY_ENGINE"

Raises
------
MissingDependencyError
    If pytest or hypothesis is not installed.
"""

from __future__ import annotations

import importlib

from laktory.optional import require

pytest = require("pytest", "laktory.testing")
require("hypothesis", "laktory.testing")

PARTS = ("formats", "types", "reading", "steps", "rules", "outputs", "tables", "errors", "between")
"""Modules of checks, in the order of the documents."""

pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in (*PARTS, "conformance")))

for _part in PARTS:
    importlib.import_module(f"{__name__}.{_part}")

from laktory.testing.conformance import EngineConformance  # noqa: E402
from laktory.testing.features import FEATURES, Bench, Feature  # noqa: E402

__all__ = ["FEATURES", "Bench", "EngineConformance", "Feature"]
