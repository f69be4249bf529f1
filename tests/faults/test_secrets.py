"""A secret planted in each place one can stand shows up nowhere, however the run ends."""

import planted
import pytest
from inside import own_process

from laktory.diagnostics.secrets import redact, written_spans
from laktory.engines.capabilities import ENGINES


@pytest.mark.parametrize("backend", list(ENGINES))
def test_a_secret_shows_up_nowhere(backend):
    """Streams of every command with debug messages on, messages, models, records, ledgers and all names of files."""
    cases = own_process("planted", "leaks", backend)
    assert [(case["place"], case["found"]) for case in cases if case["found"]] == []
    assert len(cases) == len(planted.places("")) + 1
    codes = {case["place"]: case["codes"] for case in cases}
    assert codes["variable"] == [0] * 5
    assert codes["custom reader raises"][2:] == [1] * 3
    assert codes["broken text"] == [2] * 5
    assert codes["killed"][0] == 9
    assert {code for found in codes.values() for code in found} == {0, 1, 2, 9}


def test_texts_beside_names_of_secrets_are_hidden():
    assert redact("login(password='abcdef', user='me')") == "login(password='***', user='me')"
    assert redact('{"api_key": "abcdef", "id": 3}') == '{"api_key": "***", "id": 3}'
    assert redact(r"{\"api_key\": \"abcdef\"}") == r"{\"api_key\": \"***\"}"
    assert redact("field 'token': expected a text") == "field 'token': expected a text"
    assert redact("{'primary_key': 'symbol'}") == "{'primary_key': 'symbol'}"


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("  api_token: abcdef", "abcdef"),
        ("  'api_token': \"abcdef", '"abcdef'),
        ("{api_token: abcdef, x: ]}", "abcdef"),
        ("api_token: ${vars.abcdef}", ""),
        ("token_url: https://somewhere", ""),
        ("api_token:", ""),
    ],
)
def test_secrets_of_a_line_that_cannot_be_read(line, hidden):
    assert [line[start:end] for start, end in written_spans(line)] == ([hidden] if hidden else [])
