"""The exchange: a provider's token in, a platform token out (contract section 6)."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from eventfeed.domain.errors import Fault, InvalidRequest, Unauthenticated
from eventfeed.domain.ports import Clock, Register
from eventfeed.domain.principal import Method
from eventfeed.identity.discovery import Discovery
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import PLATFORM, Provider, verified

# As long as a session without a new look at the provider may last.
LIFETIME_SECONDS = 1_800
# Maskinporten proves an organisation as a person's electronic id would (level 3 of 4).
MASKINPORTEN_LEVEL = 3

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
        if provider not in self._providers:
            known = ", ".join(sorted(self._providers))
            raise InvalidRequest(
                "Tokens of this provider are not exchanged here.",
                faults=[Fault(parameter="provider", detail=f"must be one of: {known}")],
            )
        now = self._clock()
        origin = await verified(token, self._providers[provider], now=now)
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


def _kept(claims: Mapping[str, Raw]) -> Claims:
    """The original claims but those that are not for others, and whatever pretends to be the platform's."""
    return {
        name: value for name, value in claims.items() if name not in _DROPPED and not name.lower().startswith(PLATFORM)
    }


def _organisation_number(claims: Mapping[str, Raw]) -> str:
    try:
        consumer = msgspec.json.decode(claims.get("consumer", b""), type=_Consumer)
    except msgspec.DecodeError:
        raise Unauthenticated("The token names no organisation as its consumer.") from None
    return consumer.id.removeprefix(_SCHEME)
