"""22 queries as SQL nodes of one pipeline give the published answers, at the scale 0.01, unchanged on every engine."""

import pytest
from tpch import answers, difference, generate, queries, sources

from laktory import models


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tpch")
    generate(folder, 0.01)
    return folder


def test_22_queries(backend, data):
    pipeline = models.Pipeline(name="tpch", dataframe_backend=backend, nodes=[*sources(data), *queries()])
    pipeline.execute()
    expected, wrong = answers(0.01, data), {}
    for name, answer in expected.items():
        found = pipeline.nodes_dict[name].output_df.collect("polars").to_native()
        if (said := difference(found, answer)) is not None:
            wrong[name] = said
    assert wrong == {}
    assert len(expected) == 22
