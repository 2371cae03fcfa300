"""The exchange: a provider's token in, a platform token out (contract section 6)."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from eventfeed.domain.errors import Failure, Fault, InvalidRequest, Unauthenticated
from eventfeed.domain.ports import Clock, Register
from eventfeed.domain.principal import Method
from eventfeed.identity.discovery import Discovery
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import PLATFORM, Provider, verified
from eventfeed.telemetry.metrics import TOKENS
from eventfeed.telemetry.tracing import doing

# As long as a session without a new look at the provider may last.
LIFETIME_SECONDS = 1_800
# Maskinporten proves an organisation as a person's electronic id would (level 3 of 4).
MASKINPORTEN_LEVEL = 3

MASKINPORTEN, ID_PORTEN = "maskinporten", "id-porten"
# How surely ID-porten knows a person (its `acr`), as the platform's levels count it.
LEVELS: Mapping[str, int] = {"idporten-loa-low": 0, "idporten-loa-substantial": 3, "idporten-loa-high": 4}
# A call to another service, and some difference between clocks.
SERVICE_TOKEN_SECONDS = 60

_PERSON_NUMBER = re.compile(r"[0-9]{11}", re.ASCII)
# ISO 6523: scheme 0192 is the Norwegian register of organisations.
_SCHEME = "0192:"
# Said by the provider of its own session and audience, not of the caller; and a person number, which goes no further.
_DROPPED = frozenset({"iss", "aud", "sid", "pid"})

Claims = Mapping[str, object]


class _Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """The organisation that a Maskinporten token was issued to."""

    authority: Literal["iso6523-actorid-upis"]
    id: Annotated[str, Meta(pattern=rf"^{_SCHEME}[0-9]{{9}}\Z")] = msgspec.field(name="ID")


class Exchange:
    """Exchanges tokens of known providers for tokens signed with the platform's own keys."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        register: Register,
        keys: SigningKeys,
        issuer: str,
        clock: Clock,
    ) -> None:
        self._providers, self._register = providers, register
        self._keys, self._issuer, self._clock = keys, issuer, clock

    async def exchange(self, provider: str, token: str) -> str:
        """The platform token. Raises `InvalidRequest` for an unknown provider, `Unauthenticated`, `Unavailable`."""
        outcome, operation = "internal", provider if provider in self._providers else "unknown"
        try:
            with doing("exchange"):
                exchanged = await self._exchanged(provider, token)
            outcome = "given"
        except Failure as failure:
            outcome = failure.code
            raise
        finally:
            TOKENS.add(1, operation, outcome)
        return exchanged

    async def _exchanged(self, provider: str, token: str) -> str:
        if provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise InvalidRequest(
                "Tokens of this provider are not exchanged here.",
                faults=[Fault(parameter="provider", detail=f"must be one of: {known}")],
            )
        now = self._clock()
        origin = await verified(token, self._providers[provider], now=now)
        if provider == ID_PORTEN:
            proven = await self._person(origin.claims)
        else:
            proven = await self._organisation(origin.claims)
        return self._keys.sign({**_kept(origin.claims), **proven, **self._frame(origin.expires, now // 1_000_000)})

    def discovery(self) -> Discovery:
        """Where the platform token's issuer publishes its keys."""
        return Discovery(issuer=self._issuer, jwks_uri=f"{self._issuer}.well-known/openid-configuration/jwks")

    def jwks(self) -> bytes:
        """The keys that platform tokens are signed with, as JSON."""
        return self._keys.jwks

    def _frame(self, expires: int, now: int) -> Claims:
        """Issuer and times: a platform token never outlives the token it came from."""
        return {"iss": self._issuer, "iat": now, "nbf": now, "exp": min(expires, now + LIFETIME_SECONDS)}

    async def _organisation(self, claims: Mapping[str, Raw]) -> Claims:
        """What Maskinporten proves: an organisation number; and what the register knows of it."""
        number = _organisation_number(claims)
        added: dict[str, object] = {
            f"{PLATFORM}orgNumber": number,
            f"{PLATFORM}authenticatemethod": Method.MASKINPORTEN,
            f"{PLATFORM}authlevel": MASKINPORTEN_LEVEL,
        }
        organisation = await self._register.organisation(number)
        if organisation is not None:
            added[f"{PLATFORM}partyid"] = int(organisation.party)
            if organisation.org is not None:
                added[f"{PLATFORM}org"] = organisation.org
        return added

    async def _person(self, claims: Mapping[str, Raw]) -> Claims:
        """What ID-porten proves: a person, and how surely; they become a user and a party, never a number."""
        level = LEVELS.get(_text(claims, "acr"))
        if level is None:
            raise Unauthenticated(f"The token's acr must be one of: {', '.join(LEVELS)}.")
        number = _text(claims, "pid")
        if not _PERSON_NUMBER.fullmatch(number):
            raise Unauthenticated("The token names no person in its pid.")
        person = await self._register.person(number)
        if person is None or person.user is None:
            raise Unauthenticated("The register knows no user of the person this token was issued to.")
        return {
            f"{PLATFORM}userid": int(person.user),
            f"{PLATFORM}partyid": int(person.party),
            f"{PLATFORM}authenticatemethod": Method.ID_PORTEN,
            f"{PLATFORM}authlevel": level,
        }


def service_token(keys: SigningKeys, *, issuer: str, clock: Clock) -> str:
    """What this service shows the platform's other services: who it is, and that it may ask for decisions."""
    now = clock() // 1_000_000
    frame = {"iss": issuer, "iat": now, "nbf": now, "exp": now + SERVICE_TOKEN_SECONDS}
    return keys.sign({"urn:altinn:app": "eventfeed", "scope": "altinn:authorization/authorize", **frame})


def _kept(claims: Mapping[str, Raw]) -> Claims:
    """The original claims but those that are not for others, and whatever pretends to be the platform's.

    A claim that repeats the person's number anywhere goes no further either.
    """
    number = _text(claims, "pid")
    secret = number.encode() if _PERSON_NUMBER.fullmatch(number) else None
    return {
        name: value
        for name, value in claims.items()
        if name not in _DROPPED
        and not name.lower().startswith(PLATFORM)
        and (secret is None or (secret not in bytes(value) and number not in name))
    }


def _text(claims: Mapping[str, Raw], name: str) -> str:
    """The string that a claim is; "" for anything else."""
    try:
        return msgspec.json.decode(claims.get(name, b'""'), type=str)
    except msgspec.DecodeError:
        return ""


def _organisation_number(claims: Mapping[str, Raw]) -> str:
    try:
        consumer = msgspec.json.decode(claims.get("consumer", b""), type=_Consumer)
    except msgspec.DecodeError:
        raise Unauthenticated("The token names no organisation as its consumer.") from None
    return consumer.id.removeprefix(_SCHEME)
