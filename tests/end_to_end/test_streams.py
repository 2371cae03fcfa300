"""Event streams: every feed, resuming from any position, and the final message with its reason."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from eventfeed.client.stream import Message, StreamParser
from tests.emulator.running import emulator
from tests.support.feeds import ADMIN_SCOPE, APPROVALS_PATH, audit_entries
from tests.support.publishing import APP_PATH, app_event, party_event, post_events
from tests.support.service import (
    BANK,
    KARI,
    KARIS_PARTY,
    REQUEST_SECONDS_MAX,
    STOP_SECONDS_MAX,
    RunningService,
    bearer,
    run_with_store,
    running_service,
)
from tests.support.waiting import wait_until

ACCEPT = {"Accept": "text/event-stream"}


class Stream:
    """A stream that a thread reads."""

    def __init__(self, response: httpx.Response) -> None:
        self.response, self.messages = response, list[Message]()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        parser = StreamParser()
        with suppress(httpx.TransportError, httpx.StreamError):
            for chunk in self.response.iter_bytes():
                self.messages += parser.feed(chunk)

    def wait_for(self, count: int) -> list[Message]:
        """Wait for the first `count` messages."""
        wait_until(lambda: len(self.messages) >= count)
        return self.messages[:count]

    def finish(self) -> None:
        """Wait until the service has ended the stream."""
        wait_until(lambda: not self._thread.is_alive())


@contextmanager
def open_stream(service: RunningService, method: str, path: str, **options: object) -> Iterator[Stream]:
    """Open a stream while the block lasts."""
    headers = {**ACCEPT, **options.pop("headers", {})}  # type: ignore[dict-item]  # a mapping
    url = service.url + path
    with httpx.stream(method, url, headers=headers, timeout=REQUEST_SECONDS_MAX, **options) as response:  # type: ignore[arg-type]  # passed on
        yield Stream(response)


def message_ids(messages: list[Message]) -> list[str]:
    """The event ids of messages."""
    return [json.loads(each.data)["id"] for each in messages]


def test_stream_resumes_after_its_last_event_id(service: RunningService, app: str) -> None:
    """`Last-Event-ID` takes precedence over `after`, and no event is missing or repeated."""
    headers = bearer(service.token("altinn:events/ttd"))
    path = f"/events/api/v1/app/ttd/{app}?after=0&size=2"
    first = [receipt["id"] for receipt in post_events(service, APP_PATH, [app_event(app) for _ in range(5)]).json()]
    with open_stream(service, "GET", path, headers=headers) as stream:
        start = stream.wait_for(3)[:3]
        assert "text/event-stream; charset=utf-8" == stream.response.headers["content-type"]
    second = [receipt["id"] for receipt in post_events(service, APP_PATH, [app_event(app) for _ in range(2)]).json()]
    with open_stream(service, "GET", path, headers={**headers, "Last-Event-ID": start[-1].id}) as stream:
        rest = stream.wait_for(4)

    assert [*first, *second] == message_ids([*start, *rest])
    assert all(each.id.split(".")[1] == str(int(json.loads(each.data)["sequence"])) for each in rest)


def test_stream_past_its_end_is_not_opened_again(service: RunningService, app: str) -> None:
    """A browser connects again after the end of a stream, unless the status is 204 (WHATWG HTML §9.2.3)."""
    headers = bearer(service.token("altinn:events/ttd"))
    post_events(service, APP_PATH, app_event(app)).raise_for_status()
    end = post_events(service, APP_PATH, app_event(app)).json()["time"]
    path = f"/events/api/v1/app/ttd/{app}?after=0&to={end}"
    with open_stream(service, "GET", path, headers=headers) as stream:
        (message,) = stream.wait_for(1)
        stream.finish()
    again = service.client.get(path, headers={**headers, **ACCEPT, "Last-Event-ID": message.id})

    assert (1, 204, b"") == (len(stream.messages), again.status_code, again.content)


def test_invalid_last_event_id_is_rejected_before_the_stream(service: RunningService, app: str) -> None:
    """A `Last-Event-ID` of another log gets 410 instead of a stream."""
    headers = {**bearer(service.token("altinn:events/ttd")), "Last-Event-ID": "aaaaaaaaaaaa.1"}
    with open_stream(service, "GET", f"/events/api/v1/app/ttd/{app}?after=0", headers=headers) as stream:
        assert 410 == stream.response.status_code


def test_party_feed_streams_by_post_with_the_filters_of_the_body(service: RunningService, app: str) -> None:
    """The stream omits events that its reader may not see."""
    headers = bearer(service.person_token(KARI))
    body = {"after": "0", "source": f"https://ttd.apps.example.no/ttd/{app}/"}
    with open_stream(service, "POST", "/events/api/v1/party", headers=headers, json=body) as stream:
        events = [party_event(app, party) for party in (KARIS_PARTY, "50000002", KARIS_PARTY)]
        post_events(service, APP_PATH, events).raise_for_status()
        ids = message_ids(stream.wait_for(2))

    assert [events[0]["id"], events[2]["id"]] == ids


def test_instance_stream_has_reduced_events(service: RunningService, app: str) -> None:
    """Anyone with the instance id gets the stream, with safe attributes only."""
    instance = str(uuid.uuid4())
    source = f"https://ttd.apps.example.no/ttd/{app}/instances/50000001/{instance}"
    path = f"/events/instanceeventsforinstance/50000001/{instance}"
    with open_stream(service, "POST", path) as stream:
        post_events(service, APP_PATH, [app_event(app, source=source, data={"secret": 1})]).raise_for_status()
        (message,) = stream.wait_for(1)

    assert {"id", "source", "type", "time", "specversion", "sequence"} == set(json.loads(message.data))


def test_stream_over_the_limit_of_its_caller_gets_429(tmp_path: Path) -> None:
    """The response has `Retry-After`."""
    with running_service(tmp_path, EVENTFEED_CALLER_STREAMS="1") as service:
        headers = bearer(service.token("altinn:events/ttd"))
        path = "/events/api/v1/app/ttd/bolig?after=0"
        with (
            open_stream(service, "GET", path, headers=headers),
            open_stream(service, "GET", path, headers=headers) as second,
        ):
            refusal = second.response.status_code, second.response.headers.get("retry-after")

    assert (429, "10") == refusal


def test_withdrawn_approval_ends_a_reportees_stream(tmp_path: Path) -> None:
    """Every page before the end has an entry in the audit log."""
    with running_service(tmp_path) as service:
        headers = bearer(service.token("altinn:events/reportees", organisation=BANK))
        path = "/events/api/v1/reportees?after=0&eventType=estate.created"
        with open_stream(service, "GET", path, headers=headers) as stream:
            for _ in range(2):
                event = party_event("estates", KARIS_PARTY, type="estate.created")
                post_events(service, APP_PATH, event).raise_for_status()
                stream.wait_for(1)
            stream.wait_for(2)
            entries = [entry for entry in audit_entries(service) if entry["action"] == "read"]
            service.client.delete(
                f"{APPROVALS_PATH}/{BANK}", headers=bearer(service.token(ADMIN_SCOPE))
            ).raise_for_status()
            last = stream.wait_for(3)[2]

    assert 2 == len(entries)
    assert ("end", "not-approved") == (last.type, json.loads(last.data)["code"])


def test_stop_ends_every_stream_with_its_cursor(tmp_path: Path) -> None:
    """The last message has the cursor to resume from. The process exits with 0."""
    with running_service(tmp_path) as service:
        post_events(service, APP_PATH, app_event("bolig"))
        headers = bearer(service.token("altinn:events/ttd"))
        with open_stream(service, "GET", "/events/api/v1/app/ttd/bolig?after=0", headers=headers) as stream:
            first = stream.wait_for(1)[0]
            service.process.terminate()
            last = stream.wait_for(2)[1]
            code = service.process.wait(timeout=STOP_SECONDS_MAX)

    assert 0 == code
    assert ("end", "unavailable", first.id) == (last.type, json.loads(last.data)["code"], last.id)


def test_two_processes_stream_events_from_one_cosmos_db_store(tmp_path: Path) -> None:
    """Both streams have every event."""
    with emulator() as url:
        if not url:
            pytest.skip("there is no emulator: `make test` installs it")
        store = f"cosmos://{url.removeprefix('http://').rstrip('/')}/streams"
        run_with_store(tmp_path, "store", "create", store=store)
        with running_service(tmp_path, EVENTFEED_STORE=store, EVENTFEED_WORKERS="2") as service:
            headers = bearer(service.token("altinn:events/ttd"))
            path = "/events/api/v1/app/ttd/bolig?after=0"
            with (
                open_stream(service, "GET", path, headers=headers) as one,
                open_stream(service, "GET", path, headers=headers) as other,
            ):
                ids = [post_events(service, APP_PATH, app_event("bolig")).json()["id"] for _ in range(5)]

                assert ids == message_ids(one.wait_for(5)) == message_ids(other.wait_for(5))
