"""JSON read strictly: what the tests of bad files do not reach."""

import gc

from laktory.engines.json_text import parse


def test_nothing_is_collected_while_nested_text_is_parsed():
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        before = gc.get_stats()[0]["collections"]
        value = parse("[" * 400 + "]" * 400)
        collections = gc.get_stats()[0]["collections"] - before
    finally:
        gc.set_threshold(*threshold)
    assert isinstance(value, list)
    assert collections < 20
