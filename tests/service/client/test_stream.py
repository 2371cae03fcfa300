"""Server-sent events in chunks of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.client import stream
from eventfeed.client.stream import Message, StreamParser

LINES = st.lists(
    st.tuples(st.sampled_from(["data", "id", "event", "retry", "", "other"]), st.text("ab:ø \t", max_size=6)),
    max_size=12,
)


def parse(text: bytes, cuts: list[int]) -> tuple[list[Message], str]:
    """Return the messages of a text that comes in chunks, and the last id."""
    parser, messages, start = StreamParser(), list[Message](), 0
    for stop in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        messages += parser.feed(text[start:stop])
        start = stop
    return messages, parser.last_id


@given(st.lists(LINES, max_size=5), st.sampled_from(["\n", "\r", "\r\n"]), st.lists(st.integers(0, 500), max_size=20))
def test_chunks_of_any_size_give_the_same_messages(
    blocks: list[list[tuple[str, str]]], newline: str, cuts: list[int]
) -> None:
    """The result does not depend on where the text is cut."""
    lines = [line for block in blocks for line in (*(f"{name}:{value}" for name, value in block), "")]
    text = "".join(f"{line}{newline}" for line in lines).encode()

    assert parse(text, []) == parse(text, cuts)


@pytest.mark.parametrize(
    ("text", "messages", "last_id"),
    [
        (b"data: a\n\n", [Message("message", b"a", "")], ""),
        (b"\xef\xbb\xbfdata:a\r\n\r\n", [Message("message", b"a", "")], ""),
        (b"id: 1\ndata: a\ndata:\ndata:  b\n\n", [Message("message", b"a\n\n b", "1")], "1"),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [Message("message", b"a", "1"), Message("message", b"b", "1")], "1"),
        (b"event: end\nid: 2\ndata: {}\n\n", [Message("end", b"{}", "2")], "2"),
        (b": heartbeat\nid: 3\n\n", [], "3"),
        (b"id: 3\n\nid: 4\ndata: a", [], "3"),
        (b"id: 3\n\nid: 4\ndata: a\n", [], "3"),
        (b"id: 1\n\nid: 2\0\ndata: a\n\n", [Message("message", b"a", "1")], "1"),
        (b"event: x\n\ndata: a\n\n", [Message("message", b"a", "")], ""),
        (b"data\n\n", [Message("message", b"", "")], ""),
        (b"nothing\nretry: 5\n\n", [], ""),
    ],
)
def test_messages_follow_the_rules_of_the_whatwg(text: bytes, messages: list[Message], last_id: str) -> None:
    """An incomplete message at the end does not count."""
    assert (messages, last_id) == parse(text, [])
    assert (messages, last_id) == parse(text, list(range(len(text))))


def test_line_over_the_limit_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise an endless line would fill the memory."""
    monkeypatch.setattr(stream, "LINE_BYTES_MAX", 100)

    with pytest.raises(ValueError, match="more than 100 bytes"):
        list(StreamParser().feed(b"data: " + b"x" * 100))
