"""Live streams: every feed, from any place, and an end that says why."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from eventfeed.client.stream import Message, StreamParser
from tests.emulator.running import emulator
from tests.end_to_end.test_cosmos import run
from tests.end_to_end.test_party_feed import about
from tests.end_to_end.test_publishing import APP, app_event, post
from tests.end_to_end.test_reportees import ADMIN, APPROVALS, audited
from tests.support.service import BANK, KARI, KARIS_PARTY, Served, bearer, serving

ACCEPT = {"Accept": "text/event-stream"}
SECONDS_MAX = 30.0


class Stream:
    """A stream, read in a thread."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self.messages, self.ended = answer, list[Message](), False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        parser = StreamParser()
        try:
            for chunk in self.answer.iter_bytes():
                self.messages += parser.feed(chunk)
        except (httpx.TransportError, httpx.StreamError):
            return
        self.ended = True

    def until(self, count: int) -> list[Message]:
        """The first so many messages."""
        deadline = time.monotonic() + SECONDS_MAX
        while len(self.messages) < count:
            assert time.monotonic() < deadline, f"{len(self.messages)} of {count} messages came"
            time.sleep(0.01)
        return self.messages[:count]


@contextmanager
def streamed(served: Served, method: str, path: str, **options: object) -> Iterator[Stream]:
    """A stream while the block lasts."""
    headers = {**ACCEPT, **options.pop("headers", {})}  # type: ignore[dict-item]  # a mapping
    with httpx.stream(method, served.url + path, headers=headers, timeout=SECONDS_MAX, **options) as answer:  # type: ignore[arg-type]  # passed on
        yield Stream(answer)


def ids(messages: list[Message]) -> list[str]:
    """The ids of the events."""
    return [json.loads(each.data)["id"] for each in messages]


def test_a_stream_goes_on_from_its_last_id(served: Served, app: str) -> None:
    """Without a gap or a double; the id comes before `after`."""
    headers = bearer(served.token("altinn:events/ttd"))
    path = f"/events/api/v1/app/ttd/{app}?after=0&size=2"
    first = [receipt["id"] for receipt in post(served, APP, [app_event(app) for _ in range(5)]).json()]
    with streamed(served, "GET", path, headers=headers) as stream:
        begun = stream.until(3)[:3]
        assert "text/event-stream; charset=utf-8" == stream.answer.headers["content-type"]
    second = [receipt["id"] for receipt in post(served, APP, [app_event(app) for _ in range(2)]).json()]
    with streamed(served, "GET", path, headers={**headers, "Last-Event-ID": begun[-1].id}) as stream:
        rest = stream.until(4)

    assert [*first, *second] == ids([*begun, *rest])
    assert all(each.id.partition(".")[2] == str(int(json.loads(each.data)["sequence"])) for each in rest)


def test_an_id_that_is_no_place_is_refused(served: Served, app: str) -> None:
    """Before anything is streamed."""
    headers = {**bearer(served.token("altinn:events/ttd")), "Last-Event-ID": "aaaaaaaaaaaa.1"}
    with streamed(served, "GET", f"/events/api/v1/app/ttd/{app}?after=0", headers=headers) as stream:
        assert 410 == stream.answer.status_code


def test_a_party_is_streamed_by_post(served: Served, app: str) -> None:
    """With the filters of its body; what its reader may not see does not come."""
    headers = bearer(served.person_token(KARI))
    body = {"after": "0", "source": f"https://ttd.apps.example.no/ttd/{app}/"}
    with streamed(served, "POST", "/events/api/v1/party", headers=headers, json=body) as stream:
        events = [about(app, party) for party in (KARIS_PARTY, "50000002", KARIS_PARTY)]
        post(served, APP, events).raise_for_status()
        seen = ids(stream.until(2))

    assert [events[0]["id"], events[2]["id"]] == seen


def test_an_instance_is_streamed_reduced(served: Served, app: str) -> None:
    """To anyone who holds its id."""
    instance = str(uuid.uuid4())
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{instance}"
    path = f"/events/instanceeventsforinstance/50000001/{instance}"
    with streamed(served, "POST", path) as stream:
        post(served, APP, [app_event(app, source=source, data={"secret": 1})]).raise_for_status()
        (message,) = stream.until(1)

    assert {"id", "source", "type", "time", "specversion", "sequence"} == set(json.loads(message.data))


def test_a_caller_has_so_many_streams(tmp_path: Path) -> None:
    """One more is refused, and told when to come back."""
    with serving(tmp_path, EVENTFEED_CALLER_STREAMS="1") as served:
        headers = bearer(served.token("altinn:events/ttd"))
        path = "/events/api/v1/app/ttd/bolig?after=0"
        with (
            streamed(served, "GET", path, headers=headers),
            streamed(served, "GET", path, headers=headers) as second,
        ):
            refused = second.answer.status_code, second.answer.headers.get("retry-after")

    assert (429, "10") == refused


def test_a_withdrawn_approval_ends_a_stream_of_everything(tmp_path: Path) -> None:
    """Which was on record, page by page, before."""
    with serving(tmp_path) as served:
        headers = bearer(served.token("altinn:events/reportees", organisation=BANK))
        path = "/events/api/v1/reportees?after=0&eventType=estate.created"
        with streamed(served, "GET", path, headers=headers) as stream:
            for _ in range(2):
                event = about("estates", KARIS_PARTY, type="estate.created")
                post(served, APP, event).raise_for_status()
                stream.until(1)
            stream.until(2)
            record = [entry for entry in audited(served) if entry["action"] == "read"]
            served.client.delete(f"{APPROVALS}/{BANK}", headers=bearer(served.token(ADMIN))).raise_for_status()
            last = stream.until(3)[2]

    assert 2 == len(record)
    assert ("end", "not-approved") == (last.type, json.loads(last.data)["code"])


def test_a_stop_ends_every_stream_with_its_place(tmp_path: Path) -> None:
    """And the process ends soon and well."""
    with serving(tmp_path) as served:
        post(served, APP, app_event("bolig"))
        headers = bearer(served.token("altinn:events/ttd"))
        with streamed(served, "GET", "/events/api/v1/app/ttd/bolig?after=0", headers=headers) as stream:
            first = stream.until(1)[0]
            served.process.terminate()
            last = stream.until(2)[1]
            code = served.process.wait(timeout=20)

    assert 0 == code
    assert ("end", "unavailable", first.id) == (last.type, json.loads(last.data)["code"], last.id)


@pytest.mark.timeout(90)
def test_streams_and_waits_are_served_on_cosmos_db(tmp_path: Path) -> None:
    """By two processes on one store."""
    with emulator() as url:
        if not url:
            pytest.skip("there is no emulator: `make test` installs it")
        store = f"cosmos://{url.removeprefix('http://').rstrip('/')}/streams"
        run(tmp_path, "store", "create", store=store)
        with serving(tmp_path, EVENTFEED_STORE=store, EVENTFEED_WORKERS="2") as served:
            headers = bearer(served.token("altinn:events/ttd"))
            path = "/events/api/v1/app/ttd/bolig?after=0"
            with (
                streamed(served, "GET", path, headers=headers) as one,
                streamed(served, "GET", path, headers=headers) as other,
            ):
                published = [post(served, APP, app_event("bolig")).json()["id"] for _ in range(5)]

                assert published == ids(one.until(5)) == ids(other.until(5))
