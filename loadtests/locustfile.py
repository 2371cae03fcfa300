"""Users of the service that check every response against the receipts of this run.

Each reads limited pages in sequence by its cursor. `make loadtest` and `make loadtest-ui` start Locust; see
docs/loadtests.md.
"""

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.env import Environment
from locust.exception import StopUser

from loadtests import report
from loadtests.cases import COMPLETED_TYPE, Step, app_feed, batch, party_feed, type_feed
from loadtests.goals import AGE, LAG, POLL_AGE, PUBLISH
from loadtests.responses import fail, finish, page_of, position_of
from loadtests.shapes import SECONDS, SHAPES, USERS, number, users_at
from loadtests.users import Role, TokenCache, World, roles
from loadtests.verification import Case, Event, Follower, Ledger, Receipt, Violation

WORLD = World.from_environment()
ROLES = roles(WORLD)
LEDGER = Ledger()
# Requests a second of one publisher. It repeats one in 50, as a client without a response does.
PUBLISHES_A_SECOND = number("LOADTEST_PUBLISHES_A_SECOND", 5)
REQUESTS_PER_REPEAT = 50
PAGE_EVENTS, WAIT_SECONDS = 50, 10
# The minimum and maximum time between two requests of users that do not wait (s).
POLL_SECONDS = (0.5, 2.0)


class Shape(LoadTestShape):
    """The shape of `LOADTEST_SHAPE`, over `LOADTEST_SECONDS`, with at most `LOADTEST_USERS` users."""

    def __init__(self) -> None:
        super().__init__()
        name = os.environ.get("LOADTEST_SHAPE") or "steady"
        if name not in SHAPES:
            raise SystemExit(f"LOADTEST_SHAPE is {name}: choose one of {', '.join(SHAPES)}")
        self.stages = SHAPES[name]
        self.seconds, self.users = number("LOADTEST_SECONDS", SECONDS), round(number("LOADTEST_USERS", USERS))

    def tick(self) -> tuple[int, float] | None:
        """The number of users now, and of starts a second. None at the end."""
        return users_at(self.stages, share=self.get_run_time() / self.seconds, users=self.users)


class User(FastHttpUser):
    """A user with the token of a role, or without a token."""

    abstract = True
    role: ClassVar[Role | None] = None
    network_timeout = connection_timeout = 30.0

    def on_start(self) -> None:
        """Start without tokens."""
        self.tokens = TokenCache(self._post_form, self._get_token)
        self.rng = random.Random()  # noqa: S311  # load

    def headers(self) -> dict[str, str]:
        """The authorization header."""
        return self.tokens.headers(self.role) if self.role else {}

    def _post_form(self, path: str, form: Mapping[str, str]) -> str:
        response = self.client.post(path, data=dict(form), name="token")
        response.raise_for_status()
        return str(response.text)

    def _get_token(self, path: str, external: str) -> str:
        response = self.client.get(path, headers={"Authorization": f"Bearer {external}"}, name="exchange")
        response.raise_for_status()
        return str(response.text)


class Publisher(User):
    """Publishes cases of an app, and repeats some requests."""

    role = ROLES["publisher"]
    weight = 4
    wait_time = constant_throughput(PUBLISHES_A_SECOND)

    @task
    def publish(self) -> None:
        """Publish one request of events."""
        steps = batch(WORLD, self.rng)
        first = self._post(steps)
        if first and not self.rng.randrange(REQUESTS_PER_REPEAT):
            repeat = self._post(steps, is_repeat=True)
            if repeat and [each["sequence"] for each in repeat] != [each["sequence"] for each in first]:
                LEDGER.record_violation(Violation(PUBLISH, "other position", f"{first} and then {repeat}"))

    def _post(self, steps: list[Step], *, is_repeat: bool = False) -> list[dict[str, Any]]:
        body, now = [step.event for step in steps], time.monotonic()
        if not is_repeat:
            for step in steps:
                LEDGER.record_publish(str(step.event["id"]), now)
        with self.client.post(
            "/events/api/v1/app", json=body, headers=self.headers(), name=PUBLISH, catch_response=True
        ) as response:
            if response.status_code != 201:
                fail(response)
                return []
            receipts: list[dict[str, Any]] = json.loads(response.content)
            if [is_repeat] * len(steps) != [receipt["duplicate"] for receipt in receipts]:
                response.failure("an event has no receipt, or the wrong value of `duplicate`")
                return []
        if not is_repeat:
            self._record(steps, receipts)
        return receipts

    def _record(self, steps: list[Step], receipts: list[dict[str, Any]]) -> None:
        now, cases = time.monotonic(), dict[str, Case]()
        for step, each in zip(steps, receipts, strict=True):
            receipt = Receipt(int(each["sequence"]), now, str(step.event["id"]))
            LEDGER.record_receipt(receipt, feeds=step.feeds)
            cases.setdefault(step.guid, Case(step.party, step.guid, [])).receipts.append(receipt)
        LEDGER.cases.extend(cases.values())


class Reader(User):
    """Follows one feed: reads it page by page to its end, then polls or sends long polls."""

    abstract = True
    scenario = ""
    path = ""
    waits = False

    def on_start(self) -> None:
        """Start at the end of the log."""
        super().on_start()
        self.follower = Follower(LEDGER, self.scenario, belongs=self.belongs, size=PAGE_EVENTS, feed=self.feed())
        self.tag, self.more, self.cursor = "", True, self._newest_cursor()
        self.follower.begin(position_of(self.cursor))

    def on_stop(self) -> None:
        """Check the receipts since the last page."""
        self.follower.end(time.monotonic())

    def feed(self) -> str:
        """The key of the feed in the ledger."""
        raise NotImplementedError

    def belongs(self, event: Event) -> bool:
        """True if this reader may see the event."""
        raise NotImplementedError

    def query(self) -> str:
        """The filters of the request."""
        return ""

    @task
    def read(self) -> None:
        """Request a page. The next request follows at once if there are more events."""
        wait, request_time = self.waits and not self.more, time.monotonic()
        with self._page_request(wait=wait) as response:
            if response.status_code == 304:
                finish(response, self.follower.check_unchanged(request_time))
            elif response.status_code == 200:
                self._take_page(response, request_time)
            else:
                fail(response)
                self.more = False
        if not (self.more or self.waits):
            time.sleep(self.rng.uniform(*POLL_SECONDS))

    @contextmanager
    def _page_request(self, *, wait: bool) -> Iterator[Any]:
        headers = {**self.headers(), **({"Prefer": f"wait={WAIT_SECONDS}"} if wait else {})}
        if self.tag and not wait:
            headers["If-None-Match"] = self.tag
        name = f"{self.scenario}, {'wait' if wait else 'page'}"
        path = f"{self.path}?after={self.cursor}&size={PAGE_EVENTS}{self.query()}"
        with self.request(path, headers=headers, name=name) as response:
            yield response

    def request(self, path: str, **options: Any) -> Any:
        """Send a request in the form of this scenario."""
        return self.client.get(path, catch_response=True, **options)

    def _take_page(self, response: Any, request_time: float) -> None:
        page, now = page_of(response, request_time), time.monotonic()
        finish(response, self.follower.check_page(page))
        self.cursor, self.tag, self.more = response.headers["feed-cursor"], response.headers["etag"], page.more
        for event in page.events:
            self._record_times(str(event["id"]), now)

    def _record_times(self, event_id: str, now: float) -> None:
        age, lag = LEDGER.age(event_id, now), LEDGER.lag(event_id, now)
        for name, seconds in ((LAG, lag), (AGE, age)) if self.waits else ((POLL_AGE, age),):
            if seconds is not None:
                events.request.fire(
                    request_type="READ",
                    name=f"{self.scenario}, {name}",
                    response_time=seconds * 1_000,
                    response_length=0,
                    exception=None,
                    context={},
                )

    def _newest_cursor(self) -> str:
        response = self.client.get("/events/api/v1/head", headers=self.headers(), name="head")
        response.raise_for_status()
        return str(json.loads(response.content)["cursor"])


class AppFollower(Reader):
    """S1: an org follows the completed cases of its app. Half of these users send long polls."""

    role = ROLES["app"]
    scenario = "S1 app"
    path = f"/events/api/v1/app/{WORLD.org}/{WORLD.app}"
    weight = 4
    _numbers = itertools.count()

    def on_start(self) -> None:
        """Start at the end of the log."""
        self.waits = bool(next(self._numbers) % 2)
        super().on_start()

    def feed(self) -> str:
        """The completed cases of the app."""
        return app_feed(WORLD, COMPLETED_TYPE)

    def query(self) -> str:
        """The filter for completed cases."""
        return f"&eventType={COMPLETED_TYPE}"

    def belongs(self, event: Event) -> bool:
        """True for a completed case of this app."""
        return f"/{WORLD.org}/{WORLD.app}/" in str(event["source"]) and event["type"] == COMPLETED_TYPE


class _PartyReader(Reader):
    abstract = True
    path = "/events/api/v1/party"
    party = ""

    def request(self, path: str, **options: Any) -> Any:
        """Send a POST, which keeps the party out of the URL."""
        return self.client.post(path, json={"party": self.party}, catch_response=True, **options)

    def feed(self) -> str:
        """The party's events."""
        return party_feed(self.party)

    def belongs(self, event: Event) -> bool:
        """True for an event about this party."""
        return event["subject"] == f"/party/{self.party}"


class Citizen(_PartyReader):
    """S2: a citizen reads its own new events."""

    role = ROLES["citizen"]
    scenario = "S2 citizen"
    party = WORLD.citizen
    weight = 4


class Organisation(_PartyReader):
    """S3: an accountant reads the new events of a client."""

    role = ROLES["organisation"]
    scenario = "S3 organisation"
    party = WORLD.organisation
    weight = 4


class Bank(Reader):
    """S4: an approved bank waits for the estates of every party."""

    role = ROLES["bank"]
    scenario = "S4 bank"
    path = "/events/api/v1/reportees"
    weight = 2
    waits = True

    def feed(self) -> str:
        """The events of the approved type."""
        return type_feed(WORLD.types[0])

    def query(self) -> str:
        """The filter for the approved type."""
        return f"&eventType={WORLD.types[0]}"

    def belongs(self, event: Event) -> bool:
        """True for an event of the approved type."""
        return event["type"] in WORLD.types


class InstanceHolder(User):
    """S5: a holder of an instance id reads its events, without a token."""

    scenario = "S5 instance"
    weight = 2

    @task
    def read(self) -> None:
        """Request all events of one instance. Every event with an earlier receipt must be there."""
        time.sleep(self.rng.uniform(*POLL_SECONDS))
        if not LEDGER.cases:
            return
        case = self.rng.choice(LEDGER.cases)
        follower = Follower(LEDGER, self.scenario, belongs=_belongs_to(case), size=PAGE_EVENTS)
        follower.expect(case.receipts)
        request_time = time.monotonic()
        path = f"/events/instanceeventsforinstance/{case.party}/{case.guid}?size={PAGE_EVENTS}"
        with self.client.post(path, json={}, name=f"{self.scenario}, page", catch_response=True) as response:
            if response.status_code != 200:
                fail(response)
            else:
                finish(response, follower.check_page(page_of(response, request_time)))


def _belongs_to(case: Case) -> Callable[[Event], bool]:
    return lambda event: case.guid in str(event["source"])


@events.init.add_listener
def _attach_report(environment: Environment, **_: object) -> None:
    report.attach(environment, LEDGER)


@events.test_start.add_listener
def _clear_ledger(environment: Environment, **_: object) -> None:
    if environment.host is None:
        raise StopUser("name a service: --host http://127.0.0.1:8080")
    LEDGER.clear()
