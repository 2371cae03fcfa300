"""People who use the service as it is meant to be used, and notice when it does not keep its word.

Each reads capped pages in sequence by its cursor, and compares what it sees with the receipts of this run. `make
loadtest` and `make loadtest-ui` start it; see docs/loadtests.md.
"""

import itertools
import json
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.env import Environment
from locust.exception import StopUser

from loadtests import report
from loadtests.cases import COMPLETED, Step, app_feed, batch, party_feed, types_feed
from loadtests.goals import AGE, LAG, POLLED_AGE, PUBLISH
from loadtests.people import Role, Wallet, World, roles
from loadtests.shapes import SECONDS, SHAPES, USERS, number, planned
from loadtests.verifying import Case, Event, Follower, Ledger, Page, Receipt, Violation

WORLD = World.here()
ROLES = roles(WORLD)
LEDGER = Ledger()
# Requests a second of one publisher; one in so many it sends again, as whoever lost an answer must.
PUBLISHES_A_SECOND = number("LOADTEST_PUBLISHES_A_SECOND", 5)
REPEATED = 50
PAGE, WAIT_SECONDS = 50, 10
# How often those who do not wait ask again (s), at least and at most.
POLLED = (0.5, 2.0)


class Shape(LoadTestShape):
    """The shape that `LOADTEST_SHAPE` names, for `LOADTEST_SECONDS` and of at most `LOADTEST_USERS` people."""

    def __init__(self) -> None:
        super().__init__()
        name = os.environ.get("LOADTEST_SHAPE") or "steady"
        if name not in SHAPES:
            raise SystemExit(f"LOADTEST_SHAPE is {name}: choose one of {', '.join(SHAPES)}")
        self.stages = SHAPES[name]
        self.seconds, self.users = number("LOADTEST_SECONDS", SECONDS), round(number("LOADTEST_USERS", USERS))

    def tick(self) -> tuple[int, float] | None:
        """How many people there are now, and how many start a second; None at the end."""
        return planned(self.stages, part=self.get_run_time() / self.seconds, users=self.users)


class Person(FastHttpUser):
    """Somebody with a token of a role, or none."""

    abstract = True
    role: ClassVar[Role | None] = None
    network_timeout = connection_timeout = 30.0

    def on_start(self) -> None:
        """Nothing is held yet."""
        self.wallet = Wallet(self._post_form, self._get_token)
        self.rng = random.Random()  # noqa: S311  # load

    def headers(self) -> dict[str, str]:
        """Who this is."""
        return self.wallet.headers(self.role) if self.role else {}

    def _post_form(self, path: str, form: Mapping[str, str]) -> str:
        answer = self.client.post(path, data=dict(form), name="token")
        answer.raise_for_status()
        return str(answer.text)

    def _get_token(self, path: str, external: str) -> str:
        answer = self.client.get(path, headers={"Authorization": f"Bearer {external}"}, name="exchange")
        answer.raise_for_status()
        return str(answer.text)


class Publisher(Person):
    """Publishes cases of an app, and sends again what it may have lost the answer to."""

    role = ROLES["publisher"]
    weight = 4
    wait_time = constant_throughput(PUBLISHES_A_SECOND)

    @task
    def publish(self) -> None:
        """One request of events."""
        steps = batch(WORLD, self.rng)
        first = self._sent(steps)
        if first and not self.rng.randrange(REPEATED):
            again = self._sent(steps, known=True)
            if again and [each["sequence"] for each in again] != [each["sequence"] for each in first]:
                LEDGER.violated(Violation(PUBLISH, "another place", f"{first} and then {again}"))

    def _sent(self, steps: list[Step], *, known: bool = False) -> list[dict[str, Any]]:
        body, now = [step.event for step in steps], time.monotonic()
        if not known:
            for step in steps:
                LEDGER.sent(str(step.event["id"]), now)
        with self.client.post(
            "/events/api/v1/app", json=body, headers=self.headers(), name=PUBLISH, catch_response=True
        ) as answer:
            if answer.status_code != 201:
                answer.failure(f"{answer.status_code}: {_told(answer)}")
                return []
            receipts: list[dict[str, Any]] = json.loads(answer.content)
            if [known] * len(steps) != [receipt["duplicate"] for receipt in receipts]:
                answer.failure("a repeat was taken for new, or the other way round, or an event has no receipt")
                return []
        if not known:
            self._keep(steps, receipts)
        return receipts

    def _keep(self, steps: list[Step], receipts: list[dict[str, Any]]) -> None:
        now, cases = time.monotonic(), dict[str, Case]()
        for step, receipt in zip(steps, receipts, strict=True):
            known = Receipt(int(receipt["sequence"]), now, str(step.event["id"]))
            LEDGER.receipted(known, feeds=step.feeds)
            cases.setdefault(step.guid, Case(step.party, step.guid, [])).receipts.append(known)
        LEDGER.cases.extend(cases.values())


class Reader(Person):
    """Follows one feed: drains it page by page, then asks again after a while, or waits."""

    abstract = True
    scenario = ""
    path = ""
    waits = False

    def on_start(self) -> None:
        """Begin where the log ends."""
        super().on_start()
        self.follower = Follower(LEDGER, self.scenario, belongs=self.belongs, size=PAGE, feed=self.feed())
        self.tag, self.more, self.cursor = "", True, self._end()
        self.follower.begin(_position(self.cursor))

    def on_stop(self) -> None:
        """What got its receipt since the last page counts too."""
        self.follower.end(time.monotonic())

    def feed(self) -> str:
        """What this reads, by the name that receipts are kept under."""
        raise NotImplementedError

    def belongs(self, event: Event) -> bool:
        """Whether this reader may see an event at all."""
        raise NotImplementedError

    def query(self) -> str:
        """What of the feed is asked for."""
        return ""

    @task
    def read(self) -> None:
        """A page; the next one at once when there is more."""
        wait, asked = self.waits and not self.more, time.monotonic()
        with self._asked(wait=wait) as answer:
            if answer.status_code == 304:
                _judged(answer, self.follower.unchanged(asked))
            elif answer.status_code == 200:
                self._taken(answer, asked)
            else:
                answer.failure(f"{answer.status_code}: {_told(answer)}")
                self.more = False
        if not (self.more or self.waits):
            time.sleep(self.rng.uniform(*POLLED))

    @contextmanager
    def _asked(self, *, wait: bool) -> Iterator[Any]:
        headers = {**self.headers(), **({"Prefer": f"wait={WAIT_SECONDS}"} if wait else {})}
        if self.tag and not wait:
            headers["If-None-Match"] = self.tag
        name = f"{self.scenario}, {'wait' if wait else 'page'}"
        path = f"{self.path}?after={self.cursor}&size={PAGE}{self.query()}"
        with self.request(path, headers=headers, name=name) as answer:
            yield answer

    def request(self, path: str, **sent: Any) -> Any:
        """Ask for a page, as this scenario does."""
        return self.client.get(path, catch_response=True, **sent)

    def _taken(self, answer: Any, asked: float) -> None:
        page, now = _page(answer, asked), time.monotonic()
        _judged(answer, self.follower.page(page))
        self.cursor, self.tag, self.more = answer.headers["feed-cursor"], answer.headers["etag"], page.more
        for event in page.events:
            self._timed(str(event["id"]), now)

    def _timed(self, event_id: str, now: float) -> None:
        age, lag = LEDGER.age(event_id, now), LEDGER.lag(event_id, now)
        for name, seconds in ((LAG, lag), (AGE, age)) if self.waits else ((POLLED_AGE, age),):
            if seconds is not None:
                events.request.fire(
                    request_type="READ",
                    name=f"{self.scenario}, {name}",
                    response_time=seconds * 1_000,
                    response_length=0,
                    exception=None,
                    context={},
                )

    def _end(self) -> str:
        answer = self.client.get("/events/api/v1/head", headers=self.headers(), name="head")
        answer.raise_for_status()
        return str(json.loads(answer.content)["cursor"])


class AppFollower(Reader):
    """S1: an org asks what its app has completed. Every other one waits for it."""

    role = ROLES["app"]
    scenario = "S1 app"
    path = f"/events/api/v1/app/{WORLD.org}/{WORLD.app}"
    weight = 4
    _numbers = itertools.count()

    def on_start(self) -> None:
        """Begin where the log ends."""
        self.waits = bool(next(self._numbers) % 2)
        super().on_start()

    def feed(self) -> str:
        """The completed cases of the app."""
        return app_feed(WORLD, COMPLETED)

    def query(self) -> str:
        """Completed ones only."""
        return f"&eventType={COMPLETED}"

    def belongs(self, event: Event) -> bool:
        """Of this app, and completed."""
        return f"/{WORLD.org}/{WORLD.app}/" in str(event["source"]) and event["type"] == COMPLETED


class _OfParty(Reader):
    abstract = True
    path = "/events/api/v1/party"
    party = ""

    def request(self, path: str, **sent: Any) -> Any:
        """A POST: whom it is about stands in no URL."""
        return self.client.post(path, json={"party": self.party}, catch_response=True, **sent)

    def feed(self) -> str:
        """The party's events."""
        return party_feed(self.party)

    def belongs(self, event: Event) -> bool:
        """About this party."""
        return event["subject"] == f"/party/{self.party}"


class Citizen(_OfParty):
    """S2: somebody asks what is new for themselves."""

    role = ROLES["citizen"]
    scenario = "S2 citizen"
    party = WORLD.citizen
    weight = 4


class Organisation(_OfParty):
    """S3: an accountant asks what is new for a client."""

    role = ROLES["organisation"]
    scenario = "S3 organisation"
    party = WORLD.organisation
    weight = 4


class Bank(Reader):
    """S4: an approved bank hears of everybody's estates. It waits for them."""

    role = ROLES["bank"]
    scenario = "S4 bank"
    path = "/events/api/v1/reportees"
    weight = 2
    waits = True

    def feed(self) -> str:
        """Everybody's events of the approved type."""
        return types_feed(WORLD.types[0])

    def query(self) -> str:
        """The approved type."""
        return f"&eventType={WORLD.types[0]}"

    def belongs(self, event: Event) -> bool:
        """Of the approved type."""
        return event["type"] in WORLD.types


class InstanceHolder(Person):
    """S5: whoever sent something in asks whether it has been answered, without a token."""

    scenario = "S5 instance"
    weight = 2

    @task
    def ask(self) -> None:
        """All of one instance: what had its receipt before it was asked for must be there."""
        time.sleep(self.rng.uniform(*POLLED))
        if not LEDGER.cases:
            return
        case = self.rng.choice(LEDGER.cases)
        follower = Follower(LEDGER, self.scenario, belongs=_of(case), size=PAGE)
        follower.expect(case.receipts)
        asked = time.monotonic()
        path = f"/events/instanceeventsforinstance/{case.party}/{case.guid}?size={PAGE}"
        with self.client.post(path, json={}, name=f"{self.scenario}, page", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: {_told(answer)}")
            else:
                _judged(answer, follower.page(_page(answer, asked)))


def _of(case: Case) -> Any:
    return lambda event: case.guid in str(event["source"])


def _page(answer: Any, asked: float) -> Page:
    told = answer.headers
    position, more = _position(told["feed-cursor"]), told["feed-more"] == "true"
    return Page(json.loads(answer.content), asked=asked, position=position, more=more)


def _judged(answer: Any, violations: Sequence[str]) -> None:
    """An answer that breaks its word is a failure, by the first kind of what it broke."""
    if violations:
        answer.failure(f"violation: {violations[0]}")
    else:
        answer.success()


def _position(cursor: str) -> int:
    return int(cursor.rpartition(".")[2])


def _told(answer: Any) -> str:
    return str(answer.text or answer.error)[:200]


@events.init.add_listener
def _begin(environment: Environment, **_: object) -> None:
    report.attach(environment, LEDGER)


@events.test_start.add_listener
def _anew(environment: Environment, **_: object) -> None:
    if environment.host is None:
        raise StopUser("name a service: --host http://127.0.0.1:8080")
    LEDGER.clear()
