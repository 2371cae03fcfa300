"""Authentication: the bearer token of a request, and the cache of callers."""

import pytest

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.principal import Principal
from eventfeed.http import authentication as module
from eventfeed.http.authentication import Authenticator, bearer_token
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import PlatformIssuer
from tests.service.identity.provider_double import rsa_key
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
