"""The class that a test module derives: each feature is a test, and each test has a verdict."""

from __future__ import annotations

import re
import warnings
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from laktory.engines.capabilities import ENGINES
from laktory.errors import DataQualityWarning, DefinitionError, RunError, UnsupportedError
from laktory.testing.features import FEATURES, Bench, Feature

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from laktory.engines.capabilities import Capabilities

__all__ = ["EngineConformance"]


class EngineConformance:
    """Every feature on one engine: it runs, or it is refused as the capability record says.

    Attributes
    ----------
    backend : value of `dataframe_backend`; the engine has its record in `laktory.engines.capabilities.ENGINES`
    refused : features that the session refuses although the record of the engine has them, with a pattern found in
        the refusal; e.g. what a remote session of it cannot do. Default none
    native_step : a step in the engine's own API that leaves the two rows it is given. Default ``limit(2)``
    """

    backend: ClassVar[str]
    refused: ClassVar[Mapping[str, str]] = MappingProxyType({})
    native_step: ClassVar[Mapping[str, Any]] = MappingProxyType({"func_name": "limit", "func_args": [2]})
    verdicts: ClassVar[dict[str, str]]

    def __init_subclass__(cls) -> None:
        """Each class has verdicts of its own."""
        super().__init_subclass__()
        cls.verdicts = {}

    @property
    def capabilities(self) -> Capabilities:
        """Record of the engine."""
        return ENGINES[self.backend]

    @pytest.mark.parametrize("feature", FEATURES.values(), ids=list(FEATURES))
    def test_feature(
        self,
        feature: Feature,
        tmp_path: Path,
        tmp_path_factory: pytest.TempPathFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The engine has the feature, or refuses it with the words the feature is refused with."""
        monkeypatch.chdir(tmp_path)
        bench = Bench(self.backend, self.capabilities, tmp_path_factory.getbasetemp(), self.native_step)
        self.verdicts[feature.id] = "failed"
        try:
            self.verdicts[feature.id] = self.judge(feature, bench)
        except pytest.skip.Exception as skipped:
            pytest.fail(f"{feature.id} was skipped, which is no verdict: {skipped}")

    def judge(self, feature: Feature, bench: Bench) -> str:
        """``run`` or ``refused``; anything else is an error."""
        lacking = feature.lacking(self.capabilities)
        says = feature.says if lacking is not None else self.refused.get(feature.id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataQualityWarning)
            if says is None:
                feature.check(bench)
                return "run"
            assert says, f"{feature.id}: there are no words by which a refusal is known"
            # when the definition is read, or by the session what only rows or itself can tell
            with pytest.raises((DefinitionError, RunError, UnsupportedError)) as caught:
                feature.check(bench)
            assert re.search(says, str(caught.value))
        return "refused"

    def test_every_feature_has_a_verdict(self, request: pytest.FixtureRequest) -> None:
        """None is left out by a mark, a class or a plug-in."""
        for name in ("test_feature", "judge"):
            if getattr(type(self), name) is not getattr(EngineConformance, name):
                pytest.fail(f"{name!r} is replaced, so that its verdicts say nothing")
        tests = [item for item in request.session.items if getattr(item, "cls", None) is type(self)]
        chosen = {item.callspec.params["feature"].id: item for item in tests if hasattr(item, "callspec")}
        left_out = [name for name in FEATURES if name not in chosen]
        assert not left_out, f"features that are not tried: {left_out}"
        marks = {mark.name for item in chosen.values() for mark in item.iter_markers()}
        assert marks & {"skip", "skipif", "xfail"} == set()
        if not hasattr(request.config, "workerinput"):  # with pytest-xdist, other processes run some of them
            left_out = [name for name in FEATURES if name not in self.verdicts]
            assert not left_out, f"features without a verdict: {left_out}"
