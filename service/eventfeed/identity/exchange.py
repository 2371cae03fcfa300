"""The exchange: a provider's token in, a platform token out (contract section 6)."""

import re
from collections.abc import Mapping

from msgspec import Raw

from eventfeed.domain.errors import Failure, Fault, InvalidRequest, Unauthenticated
from eventfeed.domain.ports import CLOCK_SECOND, Organisation, Register
from eventfeed.domain.principal import Method
from eventfeed.identity.claims import DETAILS, consumer_number, has_details, system_user_of, text_claim
from eventfeed.identity.discovery import Discovery
from eventfeed.identity.tokens import PLATFORM, SYSTEM_USER, PlatformIssuer, Provider, verify_external_token
from eventfeed.telemetry.telemetry import Telemetry

# The longest session without a new token of the provider.
LIFETIME_SECONDS = 1_800
# Maskinporten authenticates an organisation with the strength of an electronic id of level 3 of 4.
MASKINPORTEN_LEVEL = 3

MASKINPORTEN, ID_PORTEN = "maskinporten", "id-porten"
# ID-porten's level of assurance (`acr`) as an authentication level of the platform.
LEVELS: Mapping[str, int] = {"idporten-loa-low": 0, "idporten-loa-substantial": 3, "idporten-loa-high": 4}
# One call to another service, with some difference between clocks.
SERVICE_TOKEN_SECONDS = 60

_PERSON_NUMBER = re.compile(r"[0-9]{11}", re.ASCII)
# Claims about the provider's session and audience, not about the caller; and the person number, which is not passed on.
_DROPPED_CLAIMS = frozenset({"iss", "aud", "sid", "pid"})

Claims = Mapping[str, object]


class Exchange:
    """Exchanges tokens of providers for platform tokens."""

    def __init__(
        self, providers: Mapping[str, Provider], *, register: Register, issuer: PlatformIssuer, telemetry: Telemetry
    ) -> None:
        self._providers, self._register = providers, register
        self._issuer, self._telemetry = issuer, telemetry

    async def exchange(self, provider: str, token: str) -> str:
        """Return a platform token. Raises `InvalidRequest` (unknown provider), `Unauthenticated`, `Unavailable`.

        The provider's name is compared without case, as at the platform.
        """
        provider, outcome = provider.lower(), "internal"
        try:
            with self._telemetry.span("exchange"):
                platform_token = await self._exchange(provider, token)
            outcome = "given"
        except Failure as failure:
            outcome = failure.code
            raise
        finally:
            self._telemetry.token_exchanged(provider if provider in self._providers else "unknown", outcome)
        return platform_token

    async def _exchange(self, provider: str, token: str) -> str:
        if provider not in self._providers:
            names = ", ".join(sorted(self._providers)) or "none, since this service exchanges no tokens"
            raise InvalidRequest(
                "Tokens of this provider are not exchanged here.",
                faults=[Fault(parameter="provider", detail=f"must be one of: {names}")],
            )
        now = self._issuer.clock()
        external = await verify_external_token(token, self._providers[provider], now=now)
        identify = self._person if provider == ID_PORTEN else self._organisation_or_system_user
        claims = {**_other_claims(external.claims), **await identify(external.claims)}
        # A platform token never outlives the external token.
        expires = min(external.expires, now // CLOCK_SECOND + LIFETIME_SECONDS)
        return self._issuer.sign(claims, now=now // CLOCK_SECOND, expires=expires)

    def discovery(self) -> Discovery:
        """Return the discovery document of the platform tokens' issuer."""
        url = self._issuer.url
        return Discovery(issuer=url, jwks_uri=f"{url}.well-known/openid-configuration/jwks")

    def jwks(self) -> bytes:
        """Return the public keys of platform tokens, as JSON."""
        return self._issuer.keys.jwks

    async def _organisation_or_system_user(self, claims: Mapping[str, Raw]) -> Claims:
        """Return the claims of the caller of a Maskinporten token, with its party in the register.

        A system user has the party of its own organisation. The consumer of its token is only the vendor of its system.
        """
        consumer, system_user = consumer_number(claims), system_user_of(claims)
        ours = {
            f"{PLATFORM}authenticatemethod": Method.MASKINPORTEN,
            f"{PLATFORM}authlevel": MASKINPORTEN_LEVEL,
        }
        if system_user is not None:
            customer = await self._register.organisation(system_user.organisation)
            return {**ours, SYSTEM_USER: system_user.uuid, **_party(customer)}
        organisation = await self._register.organisation(consumer)
        org = {f"{PLATFORM}org": organisation.org} if organisation and organisation.org else {}
        return {**ours, f"{PLATFORM}orgNumber": consumer, **_party(organisation), **org}

    async def _person(self, claims: Mapping[str, Raw]) -> Claims:
        """Return the claims of a person in an ID-porten token: user and party of the register, never the number."""
        if has_details(claims):
            raise Unauthenticated(f"The token has {DETAILS}: request a token of the person without them.")
        level = LEVELS.get(text_claim(claims, "acr"))
        if level is None:
            raise Unauthenticated(f"The token's acr must be one of: {', '.join(LEVELS)}.")
        number = text_claim(claims, "pid")
        if not _PERSON_NUMBER.fullmatch(number):
            raise Unauthenticated("The token's pid is not a person number.")
        person = await self._register.person(number)
        if person is None or person.user is None:
            raise Unauthenticated("The register has no user for the person of this token.")
        return {
            f"{PLATFORM}userid": int(person.user),
            f"{PLATFORM}partyid": int(person.party),
            f"{PLATFORM}authenticatemethod": Method.ID_PORTEN,
            f"{PLATFORM}authlevel": level,
        }


def service_token(issuer: PlatformIssuer) -> str:
    """Return this service's own token for the platform: it may request decisions."""
    now = issuer.clock() // CLOCK_SECOND
    claims = {"urn:altinn:app": "eventfeed", "scope": "altinn:authorization/authorize"}
    return issuer.sign(claims, now=now, expires=now + SERVICE_TOKEN_SECONDS)


def _other_claims(claims: Mapping[str, Raw]) -> Claims:
    """Return the claims to pass on: not those of the provider's session, and none with a name of the platform's claims.

    A claim that contains the person number is not passed on either.
    """
    number = text_claim(claims, "pid")
    secret = number.encode() if _PERSON_NUMBER.fullmatch(number) else None
    return {
        name: value
        for name, value in claims.items()
        if name not in _DROPPED_CLAIMS
        and not name.lower().startswith(PLATFORM)
        and (secret is None or (secret not in bytes(value) and number not in name))
    }


def _party(organisation: Organisation | None) -> Claims:
    return {f"{PLATFORM}partyid": int(organisation.party)} if organisation else {}
