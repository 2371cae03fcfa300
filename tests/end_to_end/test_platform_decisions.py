"""A service with a platform: who publishes and reads events of resources of no app, and the sub-units of a unit."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from eventfeed.access.xacml import AttributeId
from tests.support.decision_point import Attributes, Json, PlatformDouble, result
from tests.support.feeds import PARTY_PATH, assert_problem, event_ids
from tests.support.publishing import BATCH_MEDIA_TYPE, EVENTS_PATH, PUBLISH_SCOPE
from tests.support.service import ACCOUNTANT, BAKERY, BAKERYS_PARTY, BANK, TTD, RunningService, bearer, running_service

SUBUNIT, SUBUNITS_PARTY = "310000066", "51000066"
RESOURCE = "urn:altinn:resource:ttd-letters"


class Platform(NamedTuple):
    """A service that uses the double of a platform, and the tokens of its callers by organisation number."""

    service: RunningService
    double: PlatformDouble
    tokens: dict[str, str]

    def publish(self, number: str, *events: dict[str, object]) -> httpx.Response:
        """Publish events as an organisation, in a batch."""
        headers = {**bearer(self.tokens[number]), "Content-Type": BATCH_MEDIA_TYPE}
        return self.service.client.post(EVENTS_PATH, json=events, headers=headers)

    def read(self, number: str, resource: str) -> list[str]:
        """Return the ids of a resource's events that an organisation may see."""
        params, headers = {"after": "0", "resource": resource}, bearer(self.tokens[number])
        return event_ids(self.service.client.get(EVENTS_PATH, params=params, headers=headers))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Get tokens of a service with a local register, and start it again with the platform."""
    folder: Path = tmp_path_factory.mktemp("platform")
    with running_service(folder) as service:
        scopes = f"{PUBLISH_SCOPE} altinn:events.subscribe"
        tokens = {number: service.token(scopes, organisation=number) for number in (TTD, BAKERY, ACCOUNTANT, BANK)}
        port = service.url.rpartition(":")[2]
    double = PlatformDouble()
    double.parties = {
        f"urn:altinn:organization:identifier-no:{number}": {"partyId": int(party)}
        for number, party in ((BAKERY, BAKERYS_PARTY), (SUBUNIT, SUBUNITS_PARTY))
    }
    double.units = {int(BAKERYS_PARTY): [int(SUBUNITS_PARTY)]}
    with double.serving() as url:
        settings = {"EVENTFEED_PLATFORM_URL": url, "EVENTFEED_PLATFORM_ORGS_URL": f"{url}/orgs"}
        with running_service(folder, EVENTFEED_PORT=port, **settings) as service:
            yield Platform(service, double, tokens)


def letter(resource: str = RESOURCE, *, number: str | None = BAKERY) -> dict[str, object]:
    """Return an event of a resource about an organisation."""
    base = {"id": str(uuid.uuid4()), "specversion": "1.0", "type": "t", "source": "https://x/letters"}
    subject = {"subject": f"urn:altinn:organization:identifier-no:{number}"} if number else {}
    return {**base, "resource": resource, **subject}


def permit(allows: Callable[[Attributes], bool]) -> Callable[[Attributes], Json]:
    """Return decisions."""
    return lambda attributes: result("Permit" if allows(attributes) else "Deny", level="2")


def test_decision_point_permits_to_publish_and_to_subscribe(platform: Platform) -> None:
    """Each action needs its own permission, for the resource and the party. No short name makes an owner."""
    resource = f"{RESOURCE}-{uuid.uuid4().hex[:9]}".translate(str.maketrans("0123456789", "ghijklmnop"))

    def allows(attributes: Attributes) -> bool:
        is_letter = attributes.get("urn:altinn:resource") == resource.rpartition(":")[2]
        is_about_bakery = attributes.get(AttributeId.PARTY) == BAKERYS_PARTY
        return is_letter and is_about_bakery and attributes[AttributeId.ACTION] == action

    platform.double.decide, action = permit(allows), "publish"
    event = letter(resource)
    published = platform.publish(ACCOUNTANT, event)
    refusals = [
        platform.publish(ACCOUNTANT, letter(resource), letter(resource, number=SUBUNIT)),
        platform.publish(ACCOUNTANT, letter(resource, number=None)),
        platform.publish(ACCOUNTANT, letter(f"{resource}x")),
    ]
    seen_by_publisher = platform.read(TTD, resource)
    action = "subscribe"

    assert 200 == published.status_code
    for refusal, pointer in zip(refusals, ("/1/resource", "/0/resource", "/0/resource"), strict=True):
        problem = assert_problem(refusal, 403, "foreign-source")
        assert [pointer] == [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]  # a list
    assert [] == seen_by_publisher
    assert [event["id"]] == platform.read(BANK, resource)


def test_undecided_publisher_is_asked_to_try_again(platform: Platform) -> None:
    """An event without a decision makes the whole batch 503, and nothing of it is stored."""
    resource = f"{RESOURCE}-undecided"
    platform.double.decide = lambda attributes: result(
        "Indeterminate" if attributes.get("urn:altinn:resource") == "ttd-letters-undecided" else "Permit"
    )
    refusal = platform.publish(TTD, letter(f"{RESOURCE}-decided"), letter(resource))

    assert_problem(refusal, 503, "unavailable")
    assert refusal.headers["retry-after"].isdecimal()
    assert [] == platform.read(TTD, f"{RESOURCE}-decided")


def test_subunits_come_from_the_register_of_the_platform(platform: Platform) -> None:
    """The decision point decides on each party. A party that the register does not know has no sub-units."""
    resource = f"{RESOURCE}-units"
    platform.double.decide = permit(lambda _: True)
    events = [letter(resource), letter(resource, number=SUBUNIT)]
    platform.publish(TTD, *events).raise_for_status()
    headers = bearer(platform.tokens[BANK])

    def read(**body: object) -> list[str]:
        fields = {"after": "0", "size": 1000, "includeSubunits": True, **body}
        page = platform.service.client.post(PARTY_PATH, json=fields, headers=headers)
        return [event["id"] for event in page.raise_for_status().json() if event["resource"] == resource]

    assert [event["id"] for event in events] == read(unit=BAKERY) == read(party=BAKERYS_PARTY)
    assert [events[0]["id"]] == read(unit=BAKERY, includeSubunits=False)
    assert [events[1]["id"]] == read(party=SUBUNITS_PARTY)
    assert [] == read(party="999999999999")
