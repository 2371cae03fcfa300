"""Authentication: the bearer token of a request, and the cache of callers."""

import asyncio
from collections.abc import Mapping

import pytest

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.ports import Organisation
from eventfeed.domain.principal import Principal
from eventfeed.http import authentication as module
from eventfeed.http.authentication import Authenticator, bearer_token
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.tokens import PlatformIssuer, Provider
from eventfeed.identity.trusted_issuer import TrustedIssuer
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import ProviderDouble, rsa_key
from tests.support.requests import http_request

ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
# 2027-01-15.
SECOND = 1_800_000_000


class Callers:
    """Requests of callers, and an authenticator with a clock (ns) that a test sets."""

    def __init__(self) -> None:
        self.now, self.keys = SECOND * 1_000_000_000, SigningKeys([rsa_key("platform")])
        self.step = 0
        self.authenticator = Authenticator(
            PlatformIssuer(ISSUER, self.keys, lambda: self.now - self.step), timer=lambda: self.now
        )

    def token(self, *, expires: int = SECOND + 60, number: int = 0) -> str:
        """Return a platform token."""
        method = {"urn:altinn:authenticatemethod": "maskinporten", "urn:altinn:authlevel": 3}
        return self.keys.sign({**method, "iss": ISSUER, "exp": expires, "jti": str(number)})

    async def principal(self, token: str) -> Principal:
        """Return the caller of a request with this token."""
        return await self.authenticator.principal(http_request(headers=[("authorization", f"Bearer {token}")]))

    def count(self) -> int:
        """The number of callers in the cache."""
        return len(self.authenticator._cache)


@pytest.fixture
def callers() -> Callers:
    """Callers without a request so far."""
    return Callers()


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic abc", "Bearerabc"])
def test_request_without_a_bearer_token_is_unauthenticated(value: str) -> None:
    """The challenge has no error code, because the request has no token (RFC 6750 §3.1)."""
    with pytest.raises(Unauthenticated) as refusal:
        bearer_token(http_request(headers=[("authorization", value)] if value else []))

    assert not refusal.value.has_token


def test_bearer_token_has_no_spaces_around_it() -> None:
    """The scheme is compared without case (RFC 9110 §11.1)."""
    assert "abc" == bearer_token(http_request(headers=[("authorization", "bEARER  abc ")]))


async def test_expired_platform_tokens_are_evicted(callers: Callers) -> None:
    """Tokens that are still valid stay in the cache."""
    for minute in range(10):
        callers.now = (SECOND + 60 * minute) * 1_000_000_000
        await callers.principal(callers.token(expires=SECOND + 60 * minute + 90))

    assert 2 == callers.count()


async def test_cached_platform_token_expires_on_time(callers: Callers) -> None:
    """The same caller is returned until the expiry, and none after it."""
    token = callers.token()
    first = await callers.principal(token)
    callers.now = (SECOND + 60) * 1_000_000_000 - 1
    second = await callers.principal(token)
    callers.now += 1

    assert first is second
    with pytest.raises(Unauthenticated, match="expired"):
        await callers.principal(token)


@pytest.mark.parametrize("hours", [-5, 3, 60])
async def test_step_of_the_clock_does_not_change_the_life_of_a_cached_token(callers: Callers, hours: int) -> None:
    """The clock is corrected only when its step is noticed, and the cache needs no clock."""
    token = callers.token()
    await callers.principal(token)
    callers.step = -hours * 3_600 * 1_000_000_000
    callers.now = (SECOND + 60) * 1_000_000_000 - 1
    before = callers.count()
    await callers.principal(token)
    callers.now += 1

    assert (1, 0) == (before, callers.count())


async def test_invalid_platform_token_is_not_cached(callers: Callers) -> None:
    """Each request with the token is refused."""
    with pytest.raises(Unauthenticated):
        await callers.principal("a.b.c")

    assert 0 == callers.count()


async def test_cache_above_its_maximum_evicts_the_oldest_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The evicted token is verified again at its next use."""
    monkeypatch.setattr(module, "CACHE_TOKENS_MAX", 3)
    callers = Callers()
    tokens = [callers.token(number=number) for number in range(5)]
    principals = [await callers.principal(token) for token in tokens]

    assert 3 == callers.count()
    assert principals[4] is await callers.principal(tokens[4])
    assert principals[2] is await callers.principal(tokens[2])
    assert principals[0] is not await callers.principal(tokens[0])
    assert 3 == callers.count()


class CountingRegister(LocalRegister):
    """The development population, with the number of its look-ups."""

    look_ups = 0

    async def organisation(self, number: str) -> Organisation | None:
        """Count, and give others a turn."""
        self.look_ups += 1
        await asyncio.sleep(0)
        return await super().organisation(number)


class PlatformCallers(Callers):
    """Callers of a service that trusts the platform's issuer."""

    def __init__(self) -> None:
        super().__init__()
        self.platform, self.register = ProviderDouble(), CountingRegister(population_file(None))
        keys = ProviderKeys(self.platform.issuer, self.platform.client, telemetry=Telemetry())
        provider = Provider(self.platform.issuer, keys, audiences=None)
        self.authenticator = Authenticator(
            PlatformIssuer(ISSUER, self.keys, lambda: self.now),
            trusted=TrustedIssuer(provider, self.register, lambda: self.now),
            timer=lambda: self.now,
        )

    def platform_token(self, **changes: object) -> str:
        """Return a token of the platform, of an organisation."""
        claims: Mapping[str, object] = {
            "urn:altinn:authenticatemethod": "maskinporten",
            "urn:altinn:authlevel": 3,
            "urn:altinn:orgNumber": "991825827",
        }
        return self.platform.token(**{**claims, "aud": None, **changes})


@pytest.fixture
def platform_callers() -> PlatformCallers:
    """Callers without a request so far, of whom some have tokens of the platform."""
    return PlatformCallers()


async def test_tokens_of_both_issuers_are_accepted(platform_callers: PlatformCallers) -> None:
    """One of the platform is verified once, then cached like ours."""
    token = platform_callers.platform_token()
    first, ours = await platform_callers.principal(token), await platform_callers.principal(platform_callers.token())
    platform_callers.platform.is_down = True

    assert ("991825827", None) == (first.organisation, ours.organisation)
    assert first is await platform_callers.principal(token)
    assert 2 == platform_callers.count()


async def test_token_of_the_platform_needs_the_setting(platform_callers: PlatformCallers, callers: Callers) -> None:
    """Without it the platform's issuer is a stranger."""
    with pytest.raises(Unauthenticated, match="exchange it first"):
        await callers.principal(platform_callers.platform_token())


@pytest.mark.parametrize("issuer", ["https://evil.example.com/", "", None, ISSUER])
async def test_token_of_another_issuer_is_not_verified_with_the_platforms_keys(
    platform_callers: PlatformCallers, issuer: str | None
) -> None:
    """This also holds for a token that names our issuer and is signed with the platform's key."""
    with pytest.raises(Unauthenticated):
        await platform_callers.principal(platform_callers.platform_token(iss=issuer))

    assert [] == platform_callers.platform.requests


async def test_our_key_signs_no_token_of_the_platform(platform_callers: PlatformCallers) -> None:
    """A key counts for its own issuer alone."""
    claims = {"urn:altinn:authenticatemethod": "maskinporten", "urn:altinn:authlevel": 3}
    token = platform_callers.keys.sign(
        {**claims, "iss": platform_callers.platform.issuer, "exp": SECOND + 60, "scope": "x"}
    )

    with pytest.raises(Unauthenticated):
        await platform_callers.principal(token)


async def test_concurrent_requests_share_the_verification_of_a_token(platform_callers: PlatformCallers) -> None:
    """A request that is cancelled does not end it for the others."""
    token, platform = platform_callers.platform_token(), platform_callers.platform
    platform.gate.clear()
    requests = [asyncio.create_task(platform_callers.principal(token)) for _ in range(20)]
    await platform.arrival.wait()
    requests[0].cancel()
    platform.gate.set()
    cancelled, *principals = await asyncio.gather(*requests, return_exceptions=True)

    assert isinstance(cancelled, asyncio.CancelledError)
    assert 1 == len({id(each) for each in principals})
    assert (1, 1) == (platform.key_requests, platform_callers.register.look_ups)
    assert not platform_callers.authenticator._verifications.is_running


async def test_failed_verification_is_not_cached(platform_callers: PlatformCallers) -> None:
    """The next request after the pause tries again."""
    token, platform = platform_callers.platform_token(), platform_callers.platform
    platform.is_down = True
    with pytest.raises(Unavailable):
        await platform_callers.principal(token)
    platform.is_down = False

    assert (0, False) == (platform_callers.count(), platform_callers.authenticator._verifications.is_running)


async def test_token_of_the_platform_expires_on_time(platform_callers: PlatformCallers) -> None:
    """Its expiry has no leeway, cached or not."""
    token = platform_callers.platform_token(exp=SECOND + 60)
    await platform_callers.principal(token)
    platform_callers.now += 60 * 1_000_000_000

    with pytest.raises(Unauthenticated, match="expired"):
        await platform_callers.principal(token)
