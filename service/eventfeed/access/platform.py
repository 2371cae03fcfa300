"""Register and decision point of the platform, over its HTTP APIs.

Person numbers are sent in bodies, never in a URL. This service authenticates with a short-lived token that is signed
with the key of the platform tokens.
"""

import asyncio
import http
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, NamedTuple, TypeVar

import httpx
import msgspec
from msgspec import Meta

from eventfeed.access.xacml import AttributeId, request_of, verdicts_of
from eventfeed.bounded_fetch import RETRY_SECONDS, fetch
from eventfeed.domain.decision import Action, Question, Undecided, Verdicts
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.ports import Organisation, Person
from eventfeed.domain.principal import Principal

# The questions of one call; those of a page of 50 fit.
CALL_QUESTIONS_MAX = 200
# Calls with parts of the questions after a response without decisions: 16 calls find one bad question among 200.
CALLS_MAX = 64
# Fewer as long as no part has a decision either.
CALLS_WITHOUT_DECISION_MAX = 10
# Short names of organisations change a few times a year.
NAMES_SECONDS = 3_600.0

PARTIES = "/register/api/v1/access-management/parties/query?fields=identifiers,user"
# Altinn/altinn-register, PartiesController.cs: the body is an array of party ids.
UNITS = "/register/api/v1/parties/partylist?fetchSubUnits=true"
# There a party id is a signed 32-bit number.
UNIT_PARTY_MAX = 2**31 - 1
AUTHORIZE = "/authorization/api/v1/authorize"
_PERSON = "urn:altinn:person:identifier-no"

# A platform token has them as 64-bit numbers.
_Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]
T = TypeVar("T")


class Platform(NamedTuple):
    """The platform's URL, an HTTP client, and credentials: a subscription key, and a new token for each request."""

    url: str
    client: httpx.AsyncClient
    subscription_key: str
    token: Callable[[], str]

    async def post(self, path: str, body: object, *, if_missing: bytes | None = None) -> bytes:
        """Return the body of the platform's response; `if_missing`, if set, for a 404.

        Raises `Unavailable` if the response is no success.
        """
        token = self.token()
        headers = {"Authorization": f"Bearer {token}", "PlatformAccessToken": token, "Content-Type": "application/json"}
        if self.subscription_key:
            headers["Ocp-Apim-Subscription-Key"] = self.subscription_key
        request = self.client.build_request("POST", self.url + path, content=msgspec.json.encode(body), headers=headers)
        return await _send(self.client, request, if_missing=if_missing)


class _User(msgspec.Struct, frozen=True, kw_only=True):
    user_id: _Id = msgspec.field(name="userId")


class _Party(msgspec.Struct, frozen=True, kw_only=True):
    party_id: _Id = msgspec.field(name="partyId")
    user: _User | None = None


class _Parties(msgspec.Struct, frozen=True, kw_only=True):
    data: Sequence[_Party]


class _Unit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    party_id: _Id
    child_parties: "Sequence[_Unit] | None" = None


class _Org(msgspec.Struct, frozen=True, kw_only=True):
    orgnr: str | None = None


class _Orgs(msgspec.Struct, frozen=True, kw_only=True):
    orgs: Mapping[str, _Org]


class PlatformRegister:
    """The `Register` of the platform, with the list of organisations' short names at `names_url`."""

    def __init__(self, platform: Platform, *, names_url: str) -> None:
        self._platform, self._names_url = platform, names_url
        self._names: Mapping[str, str] = {}
        self._names_time = float("-inf")

    async def organisation(self, number: str) -> Organisation | None:
        """See `Register.organisation`."""
        party = await self._party(f"{AttributeId.ORGANISATION}:{number}")
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

    async def party(self, uuid: str) -> str | None:
        """See `Register.party`."""
        party = await self._party(f"urn:altinn:party:uuid:{uuid}")
        return None if party is None else str(party.party_id)

    async def subunits(self, party: str | None) -> AbstractSet[str]:
        """See `Register.subunits`. The platform returns those directly below a unit."""
        if party is None or not 0 < int(party) <= UNIT_PARTY_MAX:
            return frozenset()
        body = await self._platform.post(UNITS, [int(party)], if_missing=b"[]")
        units = _decode(body, list[_Unit])
        return frozenset(str(child.party_id) for unit in units for child in unit.child_parties or ())

    async def _party(self, urn: str) -> _Party | None:
        parties = _decode(await self._platform.post(PARTIES, {"data": [urn]}), _Parties).data
        return parties[0] if len(parties) == 1 else None

    async def _short_names(self) -> Mapping[str, str]:
        """Return the short name of each organisation number. The last list counts while there is no newer one."""
        now, client = asyncio.get_running_loop().time(), self._platform.client
        if self._names_url and now - self._names_time >= NAMES_SECONDS:
            try:
                orgs = _decode(await _send(client, client.build_request("GET", self._names_url)), _Orgs).orgs
            except Unavailable:
                if not self._names:
                    raise
                self._names_time = now - NAMES_SECONDS + RETRY_SECONDS
            else:
                self._names = {org.orgnr: name for name, org in orgs.items() if org.orgnr}
                self._names_time = now
        return self._names


class PlatformDecisionPoint:
    """The `DecisionPoint` and the `Relations` of the platform: XACML 3.0 in JSON, many decisions in one call."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def allowed(self, principal: Principal, questions: AbstractSet[Question]) -> AbstractSet[Question]:
        """See `DecisionPoint.allowed`. The calls run at the same time."""
        responses = await asyncio.gather(*(self._verdicts(principal, call) for call in _calls(questions)))
        verdicts = {question: verdict for response in responses for question, verdict in response.items()}
        if any(verdicts.get(question) is None for question in questions):
            raise Undecided(verdicts)
        return {question for question, verdict in verdicts.items() if verdict}

    async def with_relation(
        self,
        principal: Principal,  # noqa: ARG002  # see the port
        parties: AbstractSet[str | None],
    ) -> AbstractSet[str | None]:
        """See `Relations.with_relation`. A policy of the platform may permit anybody, so only decisions tell."""
        return parties

    async def owns(self, principal: Principal, resource: str) -> bool:  # noqa: ARG002  # see the port
        """See `Relations.owns`. The platform's register names no owners."""
        return False

    async def may_have_reader(self, resource: str, party: str | None) -> bool:  # noqa: ARG002  # see the port
        """See `Relations.may_have_reader`. A policy of the platform may permit anybody."""
        return True

    async def _verdicts(self, principal: Principal, questions: Sequence[Question]) -> Verdicts:
        """Return the decisions of one call. If it has none, a bad question may be the cause: ask in halves to find it.

        If the first few parts have no decision either, the decision point fails, whatever the question.
        """
        verdicts, parts, calls = dict[Question, bool | None](), [questions], 0
        while parts and calls < _calls_max(verdicts):
            part, calls = parts.pop(), calls + 1
            body = await self._platform.post(AUTHORIZE, request_of(principal, part))
            decisions = verdicts_of(body, part, principal=principal)
            verdicts |= decisions
            if not decisions and len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        return verdicts


def _calls(questions: AbstractSet[Question]) -> Iterator[Sequence[Question]]:
    """Yield the questions in parts for one call each: of one action, and at most `CALL_QUESTIONS_MAX`."""
    by_action = defaultdict[Action, list[Question]](list)
    for question in questions:
        by_action[question.action].append(question)
    for part in by_action.values():
        yield from (part[start : start + CALL_QUESTIONS_MAX] for start in range(0, len(part), CALL_QUESTIONS_MAX))


def _calls_max(verdicts: Verdicts) -> int:
    has_decision = any(verdict is not None for verdict in verdicts.values())
    return CALLS_MAX if has_decision else CALLS_WITHOUT_DECISION_MAX


async def _send(client: httpx.AsyncClient, request: httpx.Request, *, if_missing: bytes | None = None) -> bytes:
    """Return the body of a success. Raises `Unavailable` for anything else, without details of the request."""
    document = await fetch(client, request, service="The platform")
    if document.status == http.HTTPStatus.NOT_FOUND and if_missing is not None:
        return if_missing
    if not document.is_success:
        raise Unavailable(f"The platform responded with {document.status}.", retry_seconds=RETRY_SECONDS)
    return document.body


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unavailable("The platform's response cannot be read.", retry_seconds=RETRY_SECONDS) from None
