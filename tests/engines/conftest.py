"""One session per test and engine: a test that takes `session` runs on every engine there is."""

import importlib

import pytest

from laktory.engines.capabilities import ENGINES


@pytest.fixture(params=list(ENGINES))
def engine(request):
    return ENGINES[request.param]


@pytest.fixture
def session(engine, tmp_path_factory, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    module, _, name = engine.entry.partition(":")
    opened = getattr(importlib.import_module(module), name)(str(tmp_path_factory.mktemp("scratch")))
    yield opened
    opened.close()


@pytest.fixture(params=list(ENGINES))
def backend(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return request.param
