"""Register and decision point of the platform, over its HTTP APIs.

Numbers of people travel in bodies, never in a URL. The platform knows this service by a short-lived token that is
signed with the key of its own tokens.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import NamedTuple, TypeVar

import httpx
import msgspec

from eventfeed.access.xacml import request_of, verdicts_of
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.feed import Question, Undecided, Verdicts
from eventfeed.domain.ports import Organisation, Person
from eventfeed.domain.principal import Principal

# Slower than this, the platform is as good as silent.
ANSWER_SECONDS_MAX = 5.0
# What one call decides; a page of 50 fits.
CALL_QUESTIONS_MAX = 200
# How often it is asked in smaller parts when that says nothing: a bad question among 200 is found in 16 calls.
CALLS_MAX = 64
CALLS_IN_VAIN = 10
# Short names of organisations are given a few times a year.
NAMES_SECONDS = 3_600.0
RETRY_SECONDS = 5

PARTIES = "/register/api/v1/access-management/parties/query?fields=identifiers,user"
AUTHORIZE = "/authorization/api/v1/authorize"
_ORGANISATION = "urn:altinn:organization:identifier-no"
_PERSON = "urn:altinn:person:identifier-no"

T = TypeVar("T")


class Platform(NamedTuple):
    """Where the platform is, how to reach it, and what to show: a subscription key, and a fresh token each time."""

    url: str
    client: httpx.AsyncClient
    subscription_key: str
    token: Callable[[], str]

    async def post(self, path: str, body: object) -> bytes:
        """The body of the platform's answer. Raises `Unavailable` when that is no success."""
        token = self.token()
        headers = {"Authorization": f"Bearer {token}", "PlatformAccessToken": token, "Content-Type": "application/json"}
        if self.subscription_key:
            headers["Ocp-Apim-Subscription-Key"] = self.subscription_key
        request = self.client.build_request("POST", self.url + path, content=msgspec.json.encode(body), headers=headers)
        return await _answer(self.client, request)


class _User(msgspec.Struct, frozen=True, kw_only=True):
    user_id: int = msgspec.field(name="userId")


class _Party(msgspec.Struct, frozen=True, kw_only=True):
    party_id: int = msgspec.field(name="partyId")
    user: _User | None = None


class _Parties(msgspec.Struct, frozen=True, kw_only=True):
    data: Sequence[_Party]


class _Org(msgspec.Struct, frozen=True, kw_only=True):
    orgnr: str | None = None


class _Orgs(msgspec.Struct, frozen=True, kw_only=True):
    orgs: Mapping[str, _Org]


class PlatformRegister:
    """A `Register` that asks the platform's, and a list of organisations' short names at a URL of its own."""

    def __init__(self, platform: Platform, *, names_url: str) -> None:
        self._platform, self._names_url = platform, names_url
        self._names: Mapping[str, str] = {}
        self._named = float("-inf")

    async def organisation(self, number: str) -> Organisation | None:
        """See `Register.organisation`."""
        party = await self._party(f"{_ORGANISATION}:{number}")
        if party is None:
            return None
        names = await self._short_names()
        return Organisation(number=number, party=str(party.party_id), org=names.get(number))

    async def person(self, number: str) -> Person | None:
        """See `Register.person`."""
        party = await self._party(f"{_PERSON}:{number}")
        if party is None:
            return None
        return Person(user=str(party.user.user_id) if party.user else None, party=str(party.party_id))

    async def _party(self, urn: str) -> _Party | None:
        found = _read(await self._platform.post(PARTIES, {"data": [urn]}), _Parties).data
        return found[0] if len(found) == 1 else None

    async def _short_names(self) -> Mapping[str, str]:
        """The short name of each organisation number. Old ones will do while there are no newer ones."""
        now, client = asyncio.get_running_loop().time(), self._platform.client
        if self._names_url and now - self._named >= NAMES_SECONDS:
            try:
                listed = _read(await _answer(client, client.build_request("GET", self._names_url)), _Orgs).orgs
            except Unavailable:
                if not self._names:
                    raise
                self._named = now - NAMES_SECONDS + RETRY_SECONDS
            else:
                self._names = {org.orgnr: name for name, org in listed.items() if org.orgnr}
                self._named = now
        return self._names


class PlatformDecisionPoint:
    """A `DecisionPoint` that asks the platform's: XACML 3.0 in JSON, many decisions in one call."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`. Calls that go out together take no longer than the slowest."""
        left = iter(questions)
        calls = list(iter(lambda: list(islice(left, CALL_QUESTIONS_MAX)), []))
        answers = await asyncio.gather(*(self._verdicts(principal, asked) for asked in calls))
        verdicts = {question: verdict for answer in answers for question, verdict in answer.items()}
        if any(verdicts.get(question) is None for question in questions):
            raise Undecided(verdicts)
        return {question for question, verdict in verdicts.items() if verdict}

    async def _verdicts(self, principal: Principal, asked: Sequence[Question]) -> Verdicts:
        """What one call says. One bad question can spoil it all: then what smaller calls say, until that one is found.

        When the first few of these say nothing either, it is the point that fails, not a question.
        """
        verdicts, waiting, calls = dict[Question, bool | None](), [asked], 0
        while waiting and calls < (CALLS_MAX if any(each is not None for each in verdicts.values()) else CALLS_IN_VAIN):
            part, calls = waiting.pop(), calls + 1
            body = await self._platform.post(AUTHORIZE, request_of(principal, part))
            found = verdicts_of(body, part, principal=principal)
            verdicts |= found
            if not found and len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
        return verdicts


async def _answer(client: httpx.AsyncClient, request: httpx.Request) -> bytes:
    """The body of a success. Raises `Unavailable` for anything else, and tells nothing of what was asked."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            answer = await client.send(request)
    except (httpx.HTTPError, TimeoutError):
        raise Unavailable("The platform did not answer.", retry_seconds=RETRY_SECONDS) from None
    if not answer.is_success:
        raise Unavailable(f"The platform answered {answer.status_code}.", retry_seconds=RETRY_SECONDS)
    return answer.content


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unavailable("The platform's answer cannot be read.", retry_seconds=RETRY_SECONDS) from None
