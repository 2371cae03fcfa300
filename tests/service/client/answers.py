"""Answers of proxies, wrong addresses and broken services to the request for a page, and the reaction to each."""

import gzip
import json
from collections.abc import Sequence
from typing import NamedTuple

from tests.service.client.step_driver import LOG, event_json
from tests.support.answering_server import Answer

BEFORE, AFTER = f"{LOG}.1", f"{LOG}.7"
FEED_HEADERS = {"Content-Type": "application/json", "Feed-Cursor": AFTER, "Feed-More": "false"}
HTML = b"<!doctype html><title>Sign in</title><h1>Sign in to the network</h1>"
NO_SERVICE = "No service answers"
NO_PAGE = "not a page of a feed"


class Row(NamedTuple):
    """A name, the answers, and the words of the error; "" if the page is believed. `body_seconds` bounds a body."""

    name: str
    answers: Sequence[Answer]
    words: str
    body_seconds: float = 300.0


def http(status: str, body: bytes = b"", **headers: str) -> bytes:
    """Return a response with a correct length."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in {"Content-Length": len(body), **headers}.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode() + body


def raw(*lines: str, body: bytes = b"") -> bytes:
    """Return a response with exactly these lines."""
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def events(*sequences: int) -> bytes:
    """Return a page's body."""
    return json.dumps([event_json(each) for each in sequences]).encode()


def page(body: bytes = events(5), **headers: str) -> bytes:
    """Return a page as a service sends it, but for these headers; "-" removes one."""
    merged = FEED_HEADERS | {name.replace("_", "-"): value for name, value in headers.items()}
    return http("200 OK", body, **{name: value for name, value in merged.items() if value != "-"})


def event(**members: object) -> bytes:
    """Return a page's body with one event that has these members; None removes one."""
    merged = {**event_json(5), **members}
    return json.dumps([{name: value for name, value in merged.items() if value is not None}]).encode()


def status_row(status: str, words: str, body: bytes = HTML, **headers: str) -> Row:
    """Return the row of an HTML page with a status."""
    return Row(f"status {status}", [Answer([http(status, body, **{"Content-Type": "text/html", **headers})])], words)


def page_row(name: str, content: bytes, words: str) -> Row:
    """Return the row of one response."""
    return Row(name, [Answer([content])], words)


def problem(line: str, **members: object) -> bytes:
    """Return a problem of the service."""
    return http(line, json.dumps(members).encode(), Content_Type="application/problem+json")


GOOD = page()
# A service that says that there is more, and sends the same page again before it is asked.
TWO_PAGES = page(Feed_More="true").replace(b"Connection: close\r\n", b"") * 2

STATUSES = [
    *(status_row(each, f"{each[:3]}: status {each[:3]}") for each in ("201 Created", "206 Partial Content", "299 Odd")),
    *(status_row(each, f"{each[:3]}: status {each[:3]}", b"") for each in ("204 No Content", "205 Reset Content")),
    *(
        status_row(
            each, "redirects to http://portal.example.no/login", Location="http://portal.example.no/login?t=secret"
        )
        for each in ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent")
    ),
    status_row("300 Multiple Choices", "300: status 300"),
    status_row("304 Not Modified", "304: status 304", b""),
    *(
        status_row(each, f"{each[:3]}: status {each[:3]}")
        for each in (
            "400 Bad Request",
            "401 Unauthorized",
            "402 Payment Required",
            "403 Forbidden",
            "404 Not Found",
            "405 Method Not Allowed",
            "407 Proxy Authentication Required",
            "410 Gone",
            "413 Content Too Large",
            "418 I'm a teapot",
            "421 Misdirected Request",
            "426 Upgrade Required",
            "429 Too Many Requests",
            "451 Unavailable For Legal Reasons",
            "500 Internal Server Error",
            "502 Bad Gateway",
            "503 Service Unavailable",
            "504 Gateway Timeout",
            "511 Network Authentication Required",
            "599 Odd",
        )
    ),
    page_row("410 expired", problem("410 Gone", code="cursor-expired", oldestCursor=f"{LOG}.4"), f"--after {LOG}.4"),
    page_row("410 another log", problem("410 Gone", code="cursor-of-another-log", detail="other log"), "other log"),
    page_row("404 with status 200", problem("404 Not Found", status=200, code=5, detail=["x"]), "404: status 404"),
    page_row("400 with odd errors", problem("400 Bad Request", errors=[1], detail="no"), "400: no"),
    page_row("status 700", raw("HTTP/1.1 700 Odd", "Content-Length: 0"), "700"),
    page_row("status abc", raw("HTTP/1.1 abc", "Content-Length: 0"), NO_SERVICE),
    page_row("status 100 alone", raw("HTTP/1.1 100 Continue"), NO_SERVICE),
    page_row("status 101", raw("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c"), NO_SERVICE),
]

PAGES = [
    page_row("captive portal", http("200 OK", HTML, Content_Type="text/html"), NO_PAGE),
    page_row("HTML with the headers of a feed", page(HTML), "no list of events"),
    page_row("empty body", page(b""), "no list of events"),
    *(
        page_row(f"JSON {each}", page(each.encode()), "no list of events")
        for each in ("null", "{}", "7", '"[]"', "[7]")
    ),
    page_row("problem with 200", page(b'{"status": 503, "code": "unavailable"}'), "no list of events"),
    page_row("no Feed-Cursor", page(Feed_Cursor="-"), "no valid Feed-Cursor"),
    page_row("empty array without Feed-Cursor", page(b"[]", Feed_Cursor="-"), "no valid Feed-Cursor"),
    page_row("next without Feed-Cursor", page(Feed_Cursor="-", next="http://127.0.0.1/x"), "no valid Feed-Cursor"),
    page_row("empty Feed-Cursor", page(Feed_Cursor=""), "no valid Feed-Cursor"),
    page_row("two Feed-Cursor", page(feed_cursor=f"{LOG}.9"), "no valid Feed-Cursor"),
    page_row("long Feed-Cursor", page(Feed_Cursor="x" * 1_000), "no valid Feed-Cursor"),
    page_row("no Feed-More", page(Feed_More="-"), "no valid Feed-More"),
    page_row("odd Feed-More", page(Feed_More="maybe"), "no valid Feed-More"),
    *(page_row(f"event without {each}", page(event(**{each: None})), f"`{each}`") for each in ("id", "source", "type")),
    page_row("event without sequence", page(event(sequence=None)), "`sequence`"),
    *(
        page_row(f"sequence {each!r}", page(event(sequence=each)), "no list of events")
        for each in (5, "", "-5", "five", "+5", "5" * 30, "\u0665")
    ),
    page_row("empty id", page(event(id="")), "no list of events"),
    page_row("subject is a number", page(event(subject=5)), "no list of events"),
    page_row("events out of order", page(events(6, 5)), "5 came after 6"),
    page_row("event repeated in a page", page(events(5, 5)), "5 came after 5"),
    page_row("cursor stays with events", page(Feed_Cursor=BEFORE), "cursor stays"),
    page_row("cursor stays and there is more", page(b"[]", Feed_Cursor=BEFORE, Feed_More="true"), "cursor stays"),
    page_row("deep nesting", page(b"[" * 100_000), "no list of events"),
    page_row("deep nesting in data", page(events(5)[:-2] + b', "x": ' + b"[" * 50_000), "no list of events"),
    page_row("truncated body", page(events(5)[:-20]), "no list of events"),
    page_row("no UTF-8", page(events(5).replace(b"event-5", b"\xff\xfe")), "no list of events"),
    page_row("UTF-16", page(events(5).decode().encode("utf-16")), "no list of events"),
    page_row("lines of JSON", page(b"\n".join([events(5)[1:-1]] * 2)), "no list of events"),
    page_row("text after the array", page(events(5) + b"<!-- proxy -->"), "no list of events"),
    page_row("event stream", page(b"id: x\ndata: {}\n\n", Content_Type="text/event-stream", Feed_Cursor="-"), NO_PAGE),
]

CODINGS = [
    page_row("plain bytes as gzip", page(Content_Encoding="gzip"), "Content-Encoding"),
    page_row("plain bytes as deflate", page(Content_Encoding="deflate"), "Content-Encoding"),
    page_row("truncated gzip", page(gzip.compress(events(5))[:-20], Content_Encoding="gzip"), "no list of events"),
    page_row("gzip without its header", page(gzip.compress(events(5))), "no list of events"),
    page_row("unknown coding", page(b"\x00\x01", Content_Encoding="odd"), "no list of events"),
    page_row("gzip bomb", page(gzip.compress(bytes(64 * 1024 * 1024)), Content_Encoding="gzip"), "more than"),
    page_row("correct gzip", page(gzip.compress(events(5)), Content_Encoding="gzip"), ""),
]

LENGTHS = [
    page_row("longer Content-Length", GOOD.replace(b"Content-Length: 1", b"Content-Length: 9"), NO_SERVICE),
    page_row("shorter Content-Length", page(Content_Length="50"), "no list of events"),
    page_row("negative Content-Length", GOOD.replace(b"Content-Length: ", b"Content-Length: -"), NO_SERVICE),
    page_row("two Content-Length", GOOD.replace(b"Connection: close", b"Content-Length: 7"), NO_SERVICE),
    page_row("broken chunks", page(b"zz\r\n[]", Transfer_Encoding="chunked"), NO_SERVICE),
    page_row("chunks cut off", page(b"64\r\n[", Transfer_Encoding="chunked"), NO_SERVICE),
    page_row("no length, cut off", GOOD.replace(b"Content-Length", b"X-Length")[:-20], "no list of events"),
    page_row("no length", GOOD.replace(b"Content-Length", b"X-Length"), ""),
    Row("endless body", [Answer([page(b"[", Content_Length=str(10**12)), *[bytes(1_000_000)] * 40])], "more than"),
    page_row("endless header", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000, NO_SERVICE),
]

PROTOCOLS = [
    page_row("HTTP/0.9", events(5), NO_SERVICE),
    page_row("HTTP/2 frames", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), NO_SERVICE),
    page_row("TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", NO_SERVICE),
    page_row("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", NO_SERVICE),
    page_row("SMTP", b"220 mail.example.no ESMTP\r\n", NO_SERVICE),
    page_row("nothing", b"", NO_SERVICE),
    Row("reset", [Answer([b""], end="reset")], NO_SERVICE),
    Row("reset in the body", [Answer([GOOD[:-10]], end="reset")], NO_SERVICE),
    Row("silence", [Answer([b""], end="hold")], NO_SERVICE),
    Row("slow body", [Answer([GOOD[:-10], *(GOOD[-10 + each :][:1] for each in range(9)), GOOD[-1:]], pause=0.02)], ""),
    Row("body that is too slow", [Answer([GOOD[:-60], *[b" "] * 60], pause=0.03)], NO_SERVICE, body_seconds=0.1),
    page_row("header without a colon", GOOD.replace(b"Connection: close", b"Connection close"), NO_SERVICE),
    page_row("header with NUL", GOOD.replace(b"Connection: close", b"X: a\x00b"), NO_SERVICE),
    page_row("status line without spaces", GOOD.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1200OK"), NO_SERVICE),
    page_row("bare line feeds", GOOD.replace(b"\r\n", b"\n"), ""),
    page_row("HTTP/1.0", GOOD.replace(b"HTTP/1.1", b"HTTP/1.0"), ""),
    page_row("no reason phrase", GOOD.replace(b"200 OK", b"200"), ""),
]

# A hiccup: the first answer is broken, the second is a page.
HICCUPS = [
    Row(f"{row.name}, then a page", [*row.answers, Answer([GOOD])], "")
    for row in [*PAGES, *CODINGS, *LENGTHS, *PROTOCOLS]
    if row.name
    in (
        "plain bytes as gzip",
        "truncated body",
        "event without source",
        "reset in the body",
        "nothing",
        "HTML with the headers of a feed",
        "chunks cut off",
        "SSH",
    )
]
ROWS = [*STATUSES, *PAGES, *CODINGS, *LENGTHS, *PROTOCOLS, *HICCUPS]
