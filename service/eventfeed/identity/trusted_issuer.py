"""Tokens of the platform's own issuer, which are accepted beside ours (contract section 6).

Their claims are those that Altinn/altinn-authentication writes: the exchange, in
src/Authentication/Controllers/AuthenticationController.cs, and the sign-in of people, in
src/Authentication/Helpers/ClaimsPrincipalBuilder.cs. There a user id is text, and a level is a number. A token of an
organisation has no party, and its short name only with some scopes. A token of a system user has the number of its
vendor, and the only element of `authorization_details` stands there without a list.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.ports import Clock, Register
from eventfeed.domain.principal import Method, Principal
from eventfeed.identity.claims import DETAILS, Uuid, has_details, system_user_of
from eventfeed.identity.tokens import SYSTEM_USER, Provider, decode_claims, unverified_issuer, verify_external_token

_MASKINPORTEN = "maskinporten"

_Id = Annotated[int, Meta(ge=1, le=2**63 - 1)] | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,17}\Z")]
_Level = Annotated[int, Meta(ge=0, le=4)] | Annotated[str, Meta(pattern=r"^[0-4]\Z")]
_ShortName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+\Z")]
_OrganisationNumber = Annotated[str, Meta(pattern=r"^[0-9]{9}\Z")]


class _Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that identify a caller. `method` is `maskinporten`, or the way in which a person signed in."""

    method: str = msgspec.field(name="urn:altinn:authenticatemethod")
    level: _Level = msgspec.field(name="urn:altinn:authlevel")
    scope: str = ""
    org: _ShortName | None = msgspec.field(name="urn:altinn:org", default=None)
    organisation: _OrganisationNumber | None = msgspec.field(name="urn:altinn:orgNumber", default=None)
    user: _Id | None = msgspec.field(name="urn:altinn:userid", default=None)
    party: _Id | None = msgspec.field(name="urn:altinn:partyid", default=None)
    system_user: Uuid | None = msgspec.field(name=SYSTEM_USER, default=None)


class TrustedIssuer(NamedTuple):
    """The platform's issuer: its claims are believed. Its keys are fetched when a token needs them."""

    provider: Provider
    register: Register
    clock: Clock

    def is_named_by(self, token: str) -> bool:
        """True if a token names this issuer, verified or not. Raises `Unauthenticated` if it is no token."""
        return unverified_issuer(token) == self.provider.issuer

    async def principal(self, token: str) -> Principal:
        """Return the caller that a token was issued to. Raises `Unauthenticated`, or `Unavailable` without the keys."""
        external = await verify_external_token(token, self.provider, now=self.clock())
        claims = decode_claims(external.payload, _Claims)
        # The platform spells it in two ways.
        is_person = claims.method.lower() != _MASKINPORTEN
        caller = Principal(
            method=Method.ID_PORTEN if is_person else Method.MASKINPORTEN,
            level=int(claims.level),
            scopes=frozenset(claims.scope.split(" ")) - {""},
            token=hashlib.sha256(token.encode()).digest(),
            expires=external.expires,
            party=_text(claims.party),
        )
        if is_person:
            return _person(caller, claims, others=external.claims)
        system_user = await self._system_user(caller, claims, others=external.claims)
        return system_user or await self._organisation(caller, claims)

    async def _system_user(self, caller: Principal, claims: _Claims, *, others: Mapping[str, Raw]) -> Principal | None:
        """Return the system user of a token, with the party of its organisation; None for an organisation's token."""
        details = system_user_of(others, or_object=True)
        if details is None:
            return replace(caller, system_user=claims.system_user.lower()) if claims.system_user else None
        customer = await self.register.organisation(details.organisation)
        return replace(caller, system_user=details.uuid, party=customer.party if customer else None)

    async def _organisation(self, caller: Principal, claims: _Claims) -> Principal:
        """Return the organisation of a token, with the party and short name of the register where it has none."""
        if claims.organisation is None:
            raise Unauthenticated("The token of the platform names no organisation.")
        organisation = await self.register.organisation(claims.organisation)
        return replace(
            caller,
            organisation=claims.organisation,
            org=claims.org or (organisation.org if organisation else None),
            party=caller.party or (organisation.party if organisation else None),
        )


def _person(caller: Principal, claims: _Claims, *, others: Mapping[str, Raw]) -> Principal:
    if has_details(others):
        raise Unauthenticated(f"The token has {DETAILS}: request a token of the person without them.")
    if claims.user is None:
        raise Unauthenticated("The token of the platform names no user.")
    return replace(caller, user=str(claims.user))


def _text(id_: int | str | None) -> str | None:
    return None if id_ is None else str(id_)
