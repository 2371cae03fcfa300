"""Valid requests, and hostile changes to them."""

import gzip
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.support.asgi import HOST, AsgiRequest

GUID = "6f1ee4a5-1f5e-4a3c-9a37-2d1f8d2a3b4c"
SOURCE = f"https://ttd.apps.example.no/ttd/bolig/instances/50000001/{GUID}"
APP_EVENT = {"specversion": "1.0", "source": SOURCE, "type": "instance.created", "subject": "/party/50000001"}
CLOUD_EVENT = {**APP_EVENT, "id": "1", "time": "2026-01-31T12:00:00Z", "data": {"a": [1, 2.5, None]}}
BINARY = [(f"ce-{name}".encode(), str(value).encode()) for name, value in CLOUD_EVENT.items() if name != "data"]
PARTY_BODY = {"from": "2020-01-01T00:00:00Z", "party": "50000001", "eventType": ["instance.*"], "size": 5}
APPROVAL = {"types": ["x"], "validTo": "2099-01-01T00:00:00Z", "reason": "a test"}

# Texts that mean something to a parser of headers, URLs, numbers, times, JSON, tokens or terminals.
WORDS: Sequence[bytes] = [
    *(b"", b" ", b"\t", b"%", b"%00", b"%zz", b"%ff", b"%2f", b"%5c", b"%c0%af", b"%ed%a0%80", b"*", b"+", b","),
    *(b";", b"=", b"&", b"&&", b'"', b"'", b"\\", b"\x00", b"\x0b", b"\x1b[2J", b"\x7f", b"\x80", b"\xc3\xb8"),
    *(b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbf\xbe", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\xe2\x80\xae"),
    *(b"\xd9\xa5", b"\xc2\xb2", b"0", b"-0", b"-1", b"1e999", b"inf", b"nan", b"NaN", b"0x10", b"1_000", b"9" * 19),
    *(b"9" * 20, b"9" * 400, b"9" * 5_000, b"18446744073709551616", b"null", b"true", b"[]", b"{}", b"[" * 2_000),
    *(b'{"a":' * 500, b"../", b"//", b"2026-01-31", b"2026-01-31T12:00:00Z", b"9999-12-31T23:59:60Z"),
    *(b"0000-00-00T00:00:00Z", b"2016-12-31T23:59:60Z", b"2026-01-31T12:00:00+99:99", b"2026-01-31 12:00Z"),
    *(b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"0001-01-01T00:00Z", b"9999-12-31 23:59-01:00"),
    *(b"q=inf", b";q=1e400", b"wait=0", b"wait=-1", b'wait="0"', b"gzip", b"br", b"identity;q=0", b"*/*"),
    *(b"text/event-stream", b"application/json;charset=utf-16", b"text/*;q=nan", b"Bearer ", b"bearer x.y.z"),
    *(b"Basic Og==", b"eyJhbGciOiJub25lIn0..", b'W/"x"', b"::1", b"[::1", b"127.0.0.1:x", b"http://", b"https://x@y"),
    *(b"https://[::1", b"urn:", b"urn:altinn:resource:app_ttd_bolig", b"01838012345", b"x" * 3_000),
    *(b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"aaaaaaaaaaaa.1", b"aaaaaaaaaaaa.1.aaaaaa", b"a.b.c.d"),
]
HEADERS = (
    b"accept accept-encoding altinn-alternativesubject authorization connection content-encoding content-length "
    b"content-type cookie expect forwarded host if-none-match last-event-id origin person platformaccesstoken prefer "
    b"range traceparent tracestate via x-forwarded-for ce-id ce-source ce-type ce-time ce-specversion ce-subject "
    b"ce-datacontenttype ce-dataschema ce-resource ce-x ce-"
).split()
NAMES = [
    *b"after from to type eventType source party unit person subject alternativeSubject resource size".split(),
    *(b"includeSubunits", b"lastEventId", b"timeout", b"", b"a b", b"\xff", b"__class__"),
]
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "FOO"]


class Tokens(NamedTuple):
    """Valid tokens of the requests: of a publisher and reader of all feeds, and of a person."""

    organisation: str
    person: str


def valid_requests(tokens: Tokens, cursor: str) -> Sequence[AsgiRequest]:
    """Return a valid request for each route."""
    organisation, person = _bearer(tokens.organisation), _bearer(tokens.person)
    after = f"after={cursor}&size=3".encode()
    app, events = "/events/api/v1/app", "/events/api/v1/events"
    instance = f"/events/instanceeventsforinstance/50000001/{GUID}"
    structured = b"application/cloudevents+json"
    return [
        _get("/events/api/v1/app/ttd/bolig", after + b"&type=instance.*", organisation),
        _get("/events/api/v1/app/ttd/bolig", b"from=2020-01-01T00:00:00Z&to=2099-01-01T00:00Z", organisation),
        _get("/events/api/v1/http-feeds/ttd/bolig", b"lastEventId=null&timeout=0", organisation),
        _get("/events/api/v1/app/party", after, (*person, (b"person", b"01838012345"))),
        _get("/events/api/v1/reportees", after + b"&eventType=estate.created", organisation),
        _get(events, after + b"&resource=urn:altinn:resource:app_ttd_bolig", organisation),
        _get("/events/api/v1/head", b"", organisation),
        _get("/events/api/v1/approvals/310000011", b"", organisation),
        _post("/events/api/v1/party", PARTY_BODY, person),
        _post("/events/api/v1/party", PARTY_BODY, organisation)._replace(query=after),
        _post(instance, {}, ()),
        _post(instance, {"after": cursor, "size": 2}, ()),
        _post(app, APP_EVENT, organisation),
        _post(app, [APP_EVENT, CLOUD_EVENT], organisation),
        _post(events, CLOUD_EVENT, organisation, media_type=structured),
        _post(events, [CLOUD_EVENT], organisation, media_type=b"application/cloudevents-batch+json"),
        AsgiRequest("POST", events.encode(), headers=(HOST, *organisation, *BINARY), parts=(b'{"a": 1}',)),
        _post("/events/api/v1/approvals/310000099", APPROVAL, organisation)._replace(method="PUT"),
        _get("/authentication/api/v1/openid/.well-known/openid-configuration", b"", ()),
        _post("/development/maskinporten/token", "org_number=991825827&scope=a+b", ()),
        _get("/health/live", b"", ()),
        _get("/schema", b"", ()),
        _get("/problems/not-found", b"", ()),
    ]


def mutate(request: AsgiRequest, rng: random.Random) -> AsgiRequest:
    """Return the request with some changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        request = rng.choice(_CHANGES)(request, rng)
    return request


def _bearer(token: str) -> Sequence[tuple[bytes, bytes]]:
    return ((b"authorization", f"Bearer {token}".encode()),)


def _get(path: str, query: bytes, headers: Sequence[tuple[bytes, bytes]]) -> AsgiRequest:
    return AsgiRequest("GET", path.encode(), query, (HOST, *headers))


def _post(
    path: str, body: object, headers: Sequence[tuple[bytes, bytes]], *, media_type: bytes = b"application/json"
) -> AsgiRequest:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return AsgiRequest("POST", path.encode(), b"", (HOST, (b"content-type", media_type), *headers), (content,))


def _garble(text: bytes, rng: random.Random) -> bytes:
    """Return the text with a word in it or instead of it, cut, doubled, or with another byte."""
    at, word = rng.randint(0, len(text)), rng.choice(WORDS)
    match rng.randrange(6):
        case 0:
            return word
        case 1:
            return text[:at] + word + text[at:]
        case 2:
            return text[:at]
        case 3:
            return text + text
        case 4:
            return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
        case _:
            return rng.choice(WORDS) + word


def _change_method(request: AsgiRequest, rng: random.Random) -> AsgiRequest:
    return request._replace(method=rng.choice(METHODS))


def _change_path(request: AsgiRequest, rng: random.Random) -> AsgiRequest:
    segments = request.path.split(b"/")
    index = rng.randrange(len(segments))
    segments[index] = _garble(segments[index], rng)
    return request._replace(path=b"/".join(segments))


def _change_query(request: AsgiRequest, rng: random.Random) -> AsgiRequest:
    fields = request.query.split(b"&") if request.query else []
    if fields and rng.random() < 0.5:
        index = rng.randrange(len(fields))
        name, separator, value = fields[index].partition(b"=")
        fields[index] = name + separator + _garble(value, rng)
    else:
        fields.append(rng.choice(NAMES) + b"=" + _garble(rng.choice(WORDS), rng))
    return request._replace(query=b"&".join(_without_timeout(field) for field in fields))


def _change_header(request: AsgiRequest, rng: random.Random) -> AsgiRequest:
    lines = list(request.headers)
    if lines and rng.random() < 0.5:
        index = rng.randrange(len(lines))
        name, value = lines[index]
        change = rng.randrange(4)
        if change == 0:
            lines.append((name, _garble(value, rng)))
        elif change == 1:
            del lines[index]
        else:
            lines[index] = (name, _garble(value, rng))
    else:
        lines += [(rng.choice(HEADERS), _garble(rng.choice(WORDS), rng))] * rng.choice((1, 1, 1, 2))
    return request._replace(headers=[(name, _without_wait(name, value)) for name, value in lines])


def _without_wait(name: bytes, value: bytes) -> bytes:
    """Return a value that makes no request wait."""
    return value.translate(_ZEROS) if name == b"prefer" else value


def _without_timeout(field: bytes) -> bytes:
    """Return a field of a query that makes no request wait."""
    return field.translate(_ZEROS) if field.startswith(b"timeout=") else field


def _change_body(request: AsgiRequest, rng: random.Random) -> AsgiRequest:
    body = b"".join(request.parts)
    match rng.randrange(4):
        case 0:
            body = gzip.compress(body)
        case 1:  # a member more, perhaps a repeated one
            name = rng.choice([*NAMES, b"id", b"time", b"data", b"data_base64", b"specversion", b"traceparent", b"x"])
            value = rng.choice([*WORDS, b'"x"', b'"\\ud800"', b'"' + rng.choice(WORDS) + b'"'])
            body = body.replace(b"{", b'{"' + name + b'": ' + value + b", ", 1)
        case _:
            body = _garble(body, rng)
    middle = rng.randint(0, len(body))
    return request._replace(parts=(body[:middle], body[middle:]))


_CHANGES: Sequence[Callable[[AsgiRequest, random.Random], AsgiRequest]] = [
    _change_method,
    *[_change_path] * 3,
    *[_change_query] * 6,
    *[_change_header] * 8,
    *[_change_body] * 5,
]


def as_bytes(request: AsgiRequest, host: bytes) -> bytes:
    """Return the request as HTTP/1.1 sends it, framed by its length, with this host in place of the default one."""
    body, framing = b"".join(request.parts), b"content-length"
    lines: Mapping[bytes, bytes] = {b"connection": b"close", framing: b"%d" % len(body)}
    headers = [(name, host if (name, value) == HOST else value) for name, value in request.headers]
    head = [(name, value) for name, value in headers if name not in lines] + list(lines.items())
    target = request.path + (b"?" + request.query if request.query else b"")
    return b"".join(
        [
            request.method.encode() + b" " + target + b" HTTP/1.1\r\n",
            *(name + b": " + value + b"\r\n" for name, value in head),
            b"\r\n",
            body,
        ]
    )
