"""Members that a JSON text repeats."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.http.json_object import repeated_member
from eventfeed.http.publishing import cloudevents

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.sampled_from('ab:"\\{}u03'), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ":", "u003a"]), inner),
    max_leaves=8,
)


def needs_check(text: bytes) -> bool:
    """False if the decoder of events is certain that no member is repeated."""
    members = cloudevents._decoder.decode(text)
    content = cloudevents._canonical(cloudevents._without_null(members))
    return content.needs_check(text, members=len(members))


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (b'{"a":1,"a":1}', "/a"),
        (b'{"a":1,"\\u0061":2}', "/a"),
        (b'{"data":{"a":1,"a":2}}', "/data/a"),
        (b'{"data":[0,{"a/b":{"x":1,"x":2}}]}', "/data/1/a~1b/x"),
        (b'{"a":1,"a":2,"b":"\\u003a"}', "/a"),
        (b'{"a":1,"a":2,"b":"\\u003A"}', "/a"),
        (b'{"a":1,"b":{"a":1},"c":"a:a:"}', None),
        (b'{"a":1,"A":2}', None),
        (b'{"a":' + b"9" * 5_000 + b"}", None),
    ],
)
def test_repeated_member_is_found_at_any_depth(text: bytes, pointer: str | None) -> None:
    """Names are compared after their escapes are removed. A number may have any length."""
    assert pointer == repeated_member(text)
    assert pointer is None or needs_check(text)


@given(value=JSON_VALUES, twice=JSON_VALUES)
def test_text_with_a_repeated_member_is_never_taken_as_certain(value: object, twice: object) -> None:
    """Equal numbers of colons prove that there is none, whatever strings hold."""
    one, other = json.dumps(value), json.dumps(twice)
    text = f'{{"x":{one},"y":{{"m":{other},"m":{one}}}}}'.encode()

    assert needs_check(text)


@given(value=JSON_VALUES)
def test_usual_text_needs_no_second_look(value: object) -> None:
    """Strings with colons, and with the letters of an escape, give no wrong result."""
    text = json.dumps({"x": value}).encode()

    assert repeated_member(text) is None
    assert b"u003" in text or not needs_check(text)
