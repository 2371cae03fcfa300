"""Polls that wait: answered when there is something, or when the time is up, as if they came then."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.test_publishing import APP, app_event, post
from tests.support.service import Served, bearer, serving

LONG = "wait=30"


def ask(served: Served, app: str, *, after: str, **headers: str) -> httpx.Response:
    """A page of an app's feed on a connection of its own."""
    sent = {
        **bearer(served.token("altinn:events/ttd")),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return httpx.get(f"{served.url}/events/api/v1/app/ttd/{app}?after={after}", headers=sent, timeout=60)


def newest(served: Served) -> str:
    """Where the log ends."""
    answer = served.client.get("/events/api/v1/head", headers=bearer(served.token("altinn:events/ttd")))
    return str(answer.raise_for_status().json()["cursor"])


def test_a_publish_answers_who_waits(served: Served, app: str) -> None:
    """With the event and everything that a page has."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, served, app, after=newest(served), Prefer=LONG)
        time.sleep(0.3)
        waited = not waiting.done()
        (receipt,) = post(served, APP, [app_event(app)]).json()
        answer = waiting.result(timeout=10)

    assert (True, 200, "wait=30") == (waited, answer.status_code, answer.headers["preference-applied"])
    assert [receipt["sequence"]] == [event["sequence"] for event in answer.json()]
    assert str(int(receipt["sequence"])) == answer.headers["feed-cursor"].partition(".")[2]


def test_what_is_there_is_answered_at_once(served: Served, app: str) -> None:
    """Nobody waits for a second event."""
    post(served, APP, [app_event(app)])
    started = time.monotonic()
    answer = ask(served, app, after="0", Prefer=LONG)

    assert 1 == len(answer.json())
    assert time.monotonic() - started < 15


def test_when_the_time_is_up_the_cursor_has_moved(served: Served, app: str) -> None:
    """Past what is not of this feed: 200, nothing, and the new place."""
    before = newest(served)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, served, app, after=before, Prefer="wait=1")
        post(served, APP, [app_event(f"{app}-other")])
        answer = waiting.result(timeout=10)

    assert (200, []) == (answer.status_code, answer.json())
    assert int(answer.headers["feed-cursor"].partition(".")[2]) > int(before.partition(".")[2])


def test_what_the_caller_has_is_waited_past(tmp_path: Path) -> None:
    """Nothing new: 304 when the time is up; a new event: 200 before that."""
    with serving(tmp_path) as served:
        post(served, APP, [app_event("bolig")])
        first = ask(served, "bolig", after="0")
        same = ask(served, "bolig", after="0", Prefer="wait=1", If_None_Match=first.headers["etag"])
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ask, served, "bolig", after="0", Prefer=LONG, If_None_Match=first.headers["etag"])
            time.sleep(0.3)
            post(served, APP, [app_event("bolig")])
            more = waiting.result(timeout=10)

    assert (304, "wait=1") == (same.status_code, same.headers["preference-applied"])
    assert (200, 2) == (more.status_code, len(more.json()))


def test_polls_without_a_place_are_answered_at_once(tmp_path: Path) -> None:
    """And told that they did not wait, by saying nothing of it."""
    with serving(tmp_path, EVENTFEED_WAITS="0") as served:
        answer = ask(served, "bolig", after="0", Prefer=LONG)

    assert (200, []) == (answer.status_code, answer.json())
    assert "preference-applied" not in answer.headers


@pytest.mark.timeout(90)
def test_a_publish_to_one_process_wakes_those_of_another(tmp_path: Path) -> None:
    """Two processes on one store: sixteen wait, so that some do at each; one publish answers all."""
    with serving(tmp_path, EVENTFEED_WORKERS="2") as served, ThreadPoolExecutor(16) as pool:
        after = newest(served)
        waiting = [pool.submit(ask, served, "bolig", after=after, Prefer=LONG) for _ in range(16)]
        time.sleep(1)
        waited = not any(each.done() for each in waiting)
        receipt = post(served, APP, app_event("bolig")).json()
        answers = [each.result(timeout=20) for each in waiting]

    assert waited
    assert [[receipt["sequence"]]] * 16 == [[event["sequence"] for event in answer.json()] for answer in answers]


def test_a_stop_answers_who_waits(tmp_path: Path) -> None:
    """As if the time were up; the process ends soon and well."""
    answers = list[httpx.Response]()
    with serving(tmp_path) as served:
        after = newest(served)
        thread = threading.Thread(target=lambda: answers.append(ask(served, "bolig", after=after, Prefer="wait=60")))
        thread.start()
        time.sleep(0.5)
        started = time.monotonic()
        served.process.terminate()
        ended = served.process.wait(timeout=20)
        thread.join()

    assert (0, [200]) == (ended, [answer.status_code for answer in answers])
    assert time.monotonic() - started < 20
