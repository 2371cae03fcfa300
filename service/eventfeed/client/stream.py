"""Server-sent events (WHATWG HTML §9.2.6), as bytes come in."""

from collections.abc import Iterator
from typing import NamedTuple

# An event is 64 KiB at most; whoever sends a line this long is no feed.
LINE_BYTES_MAX = 16 * 1024 * 1024


class Message(NamedTuple):
    """A message: its type, its data, and the id that held when it ended."""

    type: str
    data: bytes
    id: str


class StreamParser:
    """Takes chunks, cut anywhere, and gives the messages that are whole. `last_id` also moves without any."""

    def __init__(self) -> None:
        self.last_id = ""
        self._rest = b""
        self._begun = self._return_before = False
        self._id, self._type, self._data = "", "", list[bytes]()

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """The messages that end in this chunk. Raises `ValueError` when a line has no end."""
        for line in self._lines(chunk):
            if line:
                self._field(line)
                continue
            self.last_id = self._id
            if self._data:
                yield Message(self._type or "message", b"\n".join(self._data), self._id)
            self._type, self._data = "", []

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        """Whole lines; they end with CR, LF or both."""
        if not chunk:
            return
        if self._return_before:
            chunk = chunk.removeprefix(b"\n")
        text = self._rest + chunk
        if not self._begun:
            if len(text) < len(b"\xef\xbb\xbf") and b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                return
            text, self._begun = text.removeprefix(b"\xef\xbb\xbf"), True
        self._return_before = text.endswith(b"\r")
        *lines, self._rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise ValueError("a line of the stream has no end")
        yield from lines

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
