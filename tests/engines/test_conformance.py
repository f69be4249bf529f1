"""The conformance suite on the engines of this version; PYSPARK is what `--spark` says."""

import os

import pytest

from laktory.errors import DefinitionError
from laktory.testing import FEATURES, EngineConformance, Feature


class TestPOLARS(EngineConformance):
    backend = "POLARS"


class TestDUCKDB(EngineConformance):
    backend = "DUCKDB"


class TestPYSPARK(EngineConformance):
    backend = "PYSPARK"
    # a classic session and one over Spark Connect have one record; only the session knows which it is
    refused = (
        {name: "a stream needs a classic Spark session" for name in FEATURES if name.startswith("Streams: ")}
        if os.environ.get("LAKTORY_SPARK_REMOTE") not in {None, "sail"}
        else {}
    )


# ---- the suite itself ----------------------------------------------------------------------------


class _Suite(EngineConformance):
    backend = "POLARS"


def _runs(bench):
    pass


def _refuses(bench):
    raise DefinitionError("there is no such thing")


def _skips(bench):
    pytest.skip("not today")


def _lacks(engine):
    return "it has not"


def _has(engine):
    return None


@pytest.mark.parametrize(
    ("check", "lacking", "says", "told"),
    [
        (_runs, _lacks, "such", "DID NOT RAISE"),
        (_refuses, _has, "such", "there is no such thing"),
        (_refuses, _lacks, "something else", "assert None"),
        (_refuses, _lacks, "", "there are no words"),
        (_skips, _has, "such", "was skipped, which is no verdict"),
    ],
    ids=["refused, but runs", "claimed, but refuses", "other words", "no words", "skipped"],
)
def test_what_is_no_verdict(check, lacking, says, told, tmp_path, tmp_path_factory, monkeypatch):
    feature = Feature("G", "f", check, lacking, says)
    with pytest.raises((AssertionError, DefinitionError, pytest.fail.Exception), match=told):
        _Suite().test_feature(feature, tmp_path, tmp_path_factory, monkeypatch)
    assert _Suite.verdicts == {"G: f": "failed"}


def test_the_verdicts_are_run_and_refused(tmp_path, tmp_path_factory, monkeypatch):
    for check, lacking in ((_runs, _has), (_refuses, _lacks)):
        feature = Feature("G", check.__name__, check, lacking, "such")
        _Suite().test_feature(feature, tmp_path, tmp_path_factory, monkeypatch)
    assert {name: said for name, said in _Suite.verdicts.items() if name != "G: f"} == {
        "G: _runs": "run",
        "G: _refuses": "refused",
    }


def test_a_class_that_leaves_features_out_fails(request):
    with pytest.raises(AssertionError, match="Files read: CSV"):
        _Suite().test_every_feature_has_a_verdict(request)
