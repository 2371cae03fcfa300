"""HTTP messages between a client and the emulator, read whole."""

import asyncio
import dataclasses
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import unquote

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_CHUNKED_ENCODING = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_CONTAINER = re.compile(r"/+dbs/([^/]+)/colls/([^/]+)")
_DOCUMENTS = re.compile(r"/+dbs/[^/]+/colls/[^/]+/docs(?:/([^/]*))?/?$")
PARTITION_KEY = "x-ms-documentdb-partitionkey"
PARTITION_RANGE = "x-ms-documentdb-partitionkeyrangeid"
CONTINUATION = "x-ms-continuation"

# Not in the standard library: the store's status of a write that met another one.
_REASONS = {449: "Retry With"}


def reason_of(status: int) -> str:
    """The reason phrase of a status."""
    return _REASONS.get(status) or HTTPStatus(status).phrase


@dataclasses.dataclass(kw_only=True)
class Request:
    """A request. The names of its headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return the request of these bytes."""
        line, headers, body = _parts(message)
        method, path, _ = line.split(" ", 2)
        return cls(method=method, path=path, headers=headers, body=body)

    def encode(self) -> bytes:
        """Return the bytes of the request."""
        return _encode(f"{self.method} {self.path} HTTP/1.1", self.headers, self.body)

    @property
    def container(self) -> str:
        """The path of the container, without a slash at its start; "" for a request to none."""
        match = _CONTAINER.match(self.path)
        return f"dbs/{match[1]}/colls/{match[2]}" if match else ""

    @property
    def is_for_documents(self) -> bool:
        """True for a request to documents of a container."""
        return _DOCUMENTS.match(self.path) is not None

    @property
    def is_query(self) -> bool:
        """True for a query for documents."""
        return self.is_for_documents and self.headers.get("x-ms-documentdb-isquery", "").lower() == "true"

    @property
    def is_query_plan(self) -> bool:
        """True for a request for the plan of a query."""
        return self.headers.get("x-ms-cosmos-is-query-plan-request", "").lower() == "true"

    @property
    def is_write(self) -> bool:
        """True for a request that creates, replaces or deletes a document."""
        return self.is_for_documents and self.method != "GET" and not (self.is_query or self.is_query_plan)

    @property
    def is_batch(self) -> bool:
        """True for a batch of writes."""
        return "x-ms-cosmos-is-batch-request" in self.headers

    @property
    def partition_key(self) -> str | None:
        """The partition key, as JSON; None for a request to all partitions."""
        return self.headers.get(PARTITION_KEY)

    @property
    def document_id(self) -> str:
        """The id of the document that is read or written."""
        match = _DOCUMENTS.match(self.path)
        return unquote(match[1]) if match and match[1] else str(self.json().get("id"))

    def json(self) -> dict[str, Any]:
        """Return the object of the body; an empty one if it has none."""
        content = json.loads(self.body) if self.body else {}
        return content if isinstance(content, dict) else {}


@dataclasses.dataclass(kw_only=True)
class Response:
    """A response. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    @classmethod
    def parse(cls, message: bytes) -> Self:
        """Return the response of these bytes."""
        line, headers, body = _parts(message)
        return cls(status=int(line.split(" ")[1]), headers=headers, body=body)

    def encode(self) -> bytes:
        """Return the bytes of the response."""
        return _encode(f"HTTP/1.1 {self.status} {reason_of(self.status)}", self.headers, self.body)

    @property
    def is_success(self) -> bool:
        """True if the request was executed."""
        return self.status < HTTPStatus.BAD_REQUEST

    def json(self) -> dict[str, Any]:
        """Return the object of the body."""
        content: dict[str, Any] = json.loads(self.body or b"{}")
        return content


Send = Callable[[Request], Awaitable[Response]]
Rule = Callable[[Request, Send], Awaitable[Response]]


def respond(status: int, content: Mapping[str, object], **headers: object) -> Response:
    """Return a response with this content. An underscore in the name of a header is a hyphen."""
    fields = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return Response(
        status=status, headers={"content-type": "application/json", **fields}, body=json.dumps(content).encode()
    )


def refuse(status: int, message: str, *, substatus: int = 0, **headers: object) -> Response:
    """Return a refusal of the store, with its sub-status."""
    content = {"code": reason_of(status).replace(" ", ""), "message": message}
    return respond(status, content, x_ms_substatus=substatus, x_ms_request_charge=0, **headers)


async def read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Read a whole request or response; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    if _CHUNKED_ENCODING.search(head):
        return head + await _read_chunks(reader)
    length = _LENGTH.search(head)
    return head + (await reader.readexactly(int(length[1])) if length else b"")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return body


def _parts(message: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = message.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if headers.pop("transfer-encoding", "") == "chunked":
        body = _joined_chunks(body)
    return line, headers, body


def _joined_chunks(body: bytes) -> bytes:
    content = b""
    while body:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        content, body = content + body[:size], body[size + 2 :]
    return content


def _encode(line: str, headers: Mapping[str, str], body: bytes) -> bytes:
    fields = {**headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{line}\r\n{head}\r\n".encode("latin-1") + body
