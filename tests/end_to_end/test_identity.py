"""Tokens against the running service: only what our exchange gave for a real token opens anything."""

import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from eventfeed.identity.keys import SigningKeys
from tests.support.feeds import assert_problem
from tests.support.service import SKD, RunningService, bearer

EXCHANGE = "/authentication/api/v1/exchange/maskinporten"
DISCOVERY = "/authentication/api/v1/openid/.well-known/openid-configuration"


def external(service: RunningService, **changes: object) -> str:
    """A Maskinporten token with other claims, signed with the development issuer's own key."""
    keys = SigningKeys.load(service.folder / ".eventfeed" / "keys" / "maskinporten")
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": f"{service.url}/development/maskinporten",
        "aud": service.url,
        "scope": "altinn:events/ttd",
        "client_id": "c",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"},
        "iat": now,
        "exp": now + 100,
    }
    return keys.sign({name: value for name, value in {**claims, **changes}.items() if value is not None})


def claims_of(token: str) -> dict[str, object]:
    """Return the claims of a token without verifying it."""
    result: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return result


def kid_of(token: str) -> dict[str, str]:
    """The header that names a token's key."""
    return {"kid": jwt.get_unverified_header(token)["kid"]}


def test_the_platform_token_says_who_is_asking(service: RunningService) -> None:
    """The original claims are kept but for issuer and audience; ours are added."""
    token = service.exchange(external(service, sid="s", pid="01838012345", extra="kept")).raise_for_status().text
    claims = claims_of(token)

    assert {
        "urn:altinn:orgNumber": "991825827",
        "urn:altinn:org": "ttd",
        "urn:altinn:partyid": 50002001,
        "urn:altinn:authenticatemethod": "maskinporten",
        "urn:altinn:authlevel": 3,
    } == {name: value for name, value in claims.items() if name.startswith("urn:altinn:")}
    assert ("altinn:events/ttd", "c", "kept") == (claims["scope"], claims["client_id"], claims["extra"])
    assert f"{service.url}/authentication/api/v1/openid/" == claims["iss"]
    assert claims.keys().isdisjoint({"aud", "sid", "pid"})


def test_anyone_can_verify_a_platform_token(service: RunningService) -> None:
    """Discovery leads to the keys, and they verify it."""
    discovery = service.client.get(DISCOVERY).json()
    keys = jwt.PyJWKSet.from_json(httpx.get(discovery["jwks_uri"]).text)
    token = service.token("altinn:events/ttd")
    key = keys[jwt.get_unverified_header(token)["kid"]]

    assert "ttd" == jwt.decode(token, key, algorithms=["RS256"], issuer=discovery["issuer"])["urn:altinn:org"]


def test_smuggled_claims_are_dropped(service: RunningService) -> None:
    """Claims that imitate the platform's are dropped."""
    extra_claims = {"urn:altinn:org": "skd", "URN:ALTINN:ORG": "skd", "urn:altinn:userid": 1, "urn:altinn:authlevel": 4}
    claims = claims_of(service.exchange(external(service, **extra_claims)).raise_for_status().text)

    assert ("ttd", 3) == (claims["urn:altinn:org"], claims["urn:altinn:authlevel"])
    assert {"URN:ALTINN:ORG", "urn:altinn:userid"}.isdisjoint(claims)


def test_it_lives_no_longer_than_what_it_came_from(service: RunningService) -> None:
    """A token about to expire gives one about to expire."""
    expires = int(time.time()) + 30

    assert expires == claims_of(service.exchange(external(service, exp=expires)).text)["exp"]


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://maskinporten.example.no/"},
        {"iss": None},
        {"exp": 1_600_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"aud": "https://someone.else.example.no"},
        {"aud": None},
        {"consumer": None},
        {"consumer": "0192:991825827"},
        {"consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:99182582"}},
        {"consumer": {"authority": "iso6523-actorid-upis", "ID": "9908:991825827"}},
        {"consumer": {"authority": "other", "ID": "0192:991825827"}},
        {"nonce": "an id token has one"},
    ],
    ids=str,
)
def test_a_wrong_external_token_is_refused(service: RunningService, changes: dict[str, object]) -> None:
    """Foreign, expired, early, for someone else, of nobody: 401."""
    answer = service.exchange(external(service, **changes))

    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert_problem(answer, 401, "unauthenticated")


def test_forged_signatures_are_refused(service: RunningService) -> None:
    """None at all, one by a key of our own making, and one that takes the public key for a secret."""
    good = external(service)
    claims, header = claims_of(good), kid_of(good)
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forgery = [
        jwt.encode(claims, "", "none", headers=header),
        jwt.encode(claims, own, "RS256", headers=header),
        jwt.encode(claims, b"s" * 64, "HS256", headers=header),
        good[:-8] + "AAAAAAAA",
        good + "x",
        "no.token.this",
        "x" * 20_000,
    ]

    for token in forgery:
        assert_problem(service.exchange(token), 401, "unauthenticated")


def test_an_unknown_provider_is_told(service: RunningService) -> None:
    """400, not 401: another token would not help."""
    answer = service.client.get("/authentication/api/v1/exchange/buypass", headers=bearer(external(service)))

    assert_problem(answer, 400, "invalid-request")


def test_an_exchange_needs_a_token(service: RunningService) -> None:
    """401 that asks for one."""
    answer = service.client.get(EXCHANGE)
    assert_problem(answer, 401, "unauthenticated")

    assert 'Bearer realm="eventfeed"' == answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": ""}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}]
)
@pytest.mark.parametrize("path", ["/events/api/v1/app/ttd/bolig?after=0", "/events/api/v1/head"])
def test_without_a_token_nothing_is_read(service: RunningService, header: dict[str, str], path: str) -> None:
    """401 without an error: nothing was presented (RFC 6750 §3.1)."""
    answer = service.client.get(path, headers=header)
    assert_problem(answer, 401, "unauthenticated")

    assert 'Bearer realm="eventfeed"' == answer.headers["www-authenticate"]


def test_without_a_token_nothing_is_published(service: RunningService) -> None:
    """401 comes before the body is looked at."""
    for path in ("/events/api/v1/app", "/events/api/v1/events"):
        assert_problem(service.client.post(path, content=b"nonsense"), 401, "unauthenticated")


def test_only_platform_tokens_open_the_events(service: RunningService) -> None:
    """An external token, even a good one, must be exchanged; a forged platform token opens nothing."""
    platform = service.token("altinn:events/ttd")
    foreign = SigningKeys([rsa.generate_private_key(public_exponent=65537, key_size=2048)])
    tokens = [
        external(service),
        foreign.sign(claims_of(platform)),
        jwt.encode(claims_of(platform), "", "none", headers=kid_of(platform)),
        platform[:-8] + "AAAAAAAA",
    ]

    for token in tokens:
        answer = service.client.get("/events/api/v1/app/ttd/bolig?after=0", headers=bearer(token))
        assert_problem(answer, 401, "unauthenticated")


def test_an_expired_platform_token_is_refused_though_it_was_known(service: RunningService) -> None:
    """A remembered token is forgotten when it expires."""
    token = service.exchange(external(service, exp=int(time.time()) + 2)).raise_for_status().text
    before = service.client.get("/events/api/v1/head", headers=bearer(token))
    time.sleep(2.1)

    assert 200 == before.status_code
    assert_problem(service.client.get("/events/api/v1/head", headers=bearer(token)), 401, "unauthenticated")


def test_another_organisation_has_another_short_name(service: RunningService) -> None:
    """The register names it; who is not in it has none."""
    assert "skd" == claims_of(service.token("x", organisation=SKD))["urn:altinn:org"]
    assert "urn:altinn:org" not in claims_of(service.token("x", organisation="310000011"))
    assert "urn:altinn:partyid" not in claims_of(service.token("x", organisation="999999999"))


def test_the_development_issuer_answers_this_machine_alone(service: RunningService) -> None:
    """A page that reaches the service by a name of its own finds no development identities."""
    form = {"org_number": "991825827", "scope": "altinn:events.publish"}
    answer = service.client.post("/development/maskinporten/token", data=form, headers={"Host": "evil.example.com"})

    assert_problem(answer, 404, "not-found")


def test_a_host_that_is_not_this_machine_is_not_believed(service: RunningService) -> None:
    """Links point to where the service is, whatever a Host header claims."""
    token = service.token("altinn:events/ttd")
    answer = service.client.get(
        "/events/api/v1/app/ttd/bolig?after=0", headers={**bearer(token), "Host": "evil.example.com"}
    )

    assert answer.headers["next"].startswith(service.url)
