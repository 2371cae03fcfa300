"""A parser of server-sent events (WHATWG HTML §9.2.6)."""

from collections.abc import Iterator
from typing import NamedTuple

# An event is at most 64 KiB; a line or a message of this length is no part of a feed.
LINE_BYTES_MAX = 16 * 1024 * 1024
# A short line takes more memory than its bytes.
_OBJECT_BYTES = 64
_BOM = b"\xef\xbb\xbf"


class Message(NamedTuple):
    """A message: its type, its data, and the id in force at its end."""

    type: str
    data: bytes
    id: str


class StreamParser:
    """Parses chunks of any size into complete messages. `last_id` also changes without a message."""

    def __init__(self) -> None:
        self.last_id = ""
        self._rest = bytearray()
        self._has_begun = self._ends_with_return = False
        self._id, self._type, self._data, self._data_bytes = "", "", list[bytes](), 0

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that end in this chunk. Raises `ValueError` if a line or a message is too long."""
        for line in self._lines(chunk):
            if line:
                self._parse_field(line)
                continue
            self.last_id = self._id
            if self._data:
                yield Message(self._type or "message", b"\n".join(self._data), self._id)
            self._type, self._data, self._data_bytes = "", [], 0

    def _lines(self, chunk: bytes) -> Iterator[bytes]:
        """Yield complete lines; they end with CR, LF or both."""
        if not chunk:
            return
        if self._ends_with_return:
            chunk = chunk.removeprefix(b"\n")
        self._rest += chunk
        if len(self._rest) > LINE_BYTES_MAX + len(chunk):
            raise ValueError(f"A line of the stream has more than {LINE_BYTES_MAX} bytes.")
        if self._has_begun and b"\n" not in chunk and b"\r" not in chunk:
            self._ends_with_return = False
            return
        text = bytes(self._rest)
        if not self._has_begun:
            if len(text) < len(_BOM) and _BOM.startswith(text):
                return
            text, self._has_begun = text.removeprefix(_BOM), True
        self._ends_with_return = text.endswith(b"\r")
        *lines, rest = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = bytearray(rest)
        if len(rest) > LINE_BYTES_MAX:
            raise ValueError(f"A line of the stream has more than {LINE_BYTES_MAX} bytes.")
        yield from lines

    def _parse_field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + _OBJECT_BYTES
            if self._data_bytes > LINE_BYTES_MAX:
                raise ValueError(f"A message of the stream has more than {LINE_BYTES_MAX} bytes.")
        elif name == b"event":
            self._type = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
