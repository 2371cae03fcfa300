"""Tokens at the running service: only a platform token of its own exchange is accepted."""

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


def external_token(service: RunningService, **changes: object) -> str:
    """Return a Maskinporten token with changed claims, signed with the development issuer's own key."""
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


def kid_header(token: str) -> dict[str, str]:
    """Return the header with the key id of a token."""
    return {"kid": jwt.get_unverified_header(token)["kid"]}


def test_platform_token_has_the_external_claims_and_ours(service: RunningService) -> None:
    """Issuer and audience are replaced."""
    token = service.exchange(external_token(service, sid="s", pid="01838012345", extra="kept")).raise_for_status().text
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


def test_platform_token_is_verified_with_the_published_keys(service: RunningService) -> None:
    """The discovery document names their URL."""
    discovery = service.client.get(DISCOVERY).json()
    keys = jwt.PyJWKSet.from_json(httpx.get(discovery["jwks_uri"]).text)
    token = service.token("altinn:events/ttd")
    key = keys[jwt.get_unverified_header(token)["kid"]]

    assert "ttd" == jwt.decode(token, key, algorithms=["RS256"], issuer=discovery["issuer"])["urn:altinn:org"]


def test_external_claims_with_platform_names_are_dropped(service: RunningService) -> None:
    """Names are compared without case."""
    extra_claims = {"urn:altinn:org": "skd", "URN:ALTINN:ORG": "skd", "urn:altinn:userid": 1, "urn:altinn:authlevel": 4}
    claims = claims_of(service.exchange(external_token(service, **extra_claims)).raise_for_status().text)

    assert ("ttd", 3) == (claims["urn:altinn:org"], claims["urn:altinn:authlevel"])
    assert {"URN:ALTINN:ORG", "urn:altinn:userid"}.isdisjoint(claims)


def test_platform_token_expires_with_the_external_token(service: RunningService) -> None:
    """This holds if the external token expires first."""
    expires = int(time.time()) + 30

    assert expires == claims_of(service.exchange(external_token(service, exp=expires)).text)["exp"]


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
def test_invalid_external_token_is_rejected_with_401(service: RunningService, changes: dict[str, object]) -> None:
    """The token has another issuer or audience, is too old or too new, or is not of an organisation."""
    response = service.exchange(external_token(service, **changes))

    assert 'error="invalid_token"' in response.headers["www-authenticate"]
    assert_problem(response, 401, "unauthenticated")


def test_forged_signature_is_rejected_with_401(service: RunningService) -> None:
    """A token without signature, one of another key, and one with the public key as secret are rejected."""
    valid_token = external_token(service)
    claims, header = claims_of(valid_token), kid_header(valid_token)
    other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    forgeries = [
        jwt.encode(claims, "", "none", headers=header),
        jwt.encode(claims, other_key, "RS256", headers=header),
        jwt.encode(claims, b"s" * 64, "HS256", headers=header),
        valid_token[:-8] + "AAAAAAAA",
        valid_token + "x",
        "no.token.this",
        "x" * 20_000,
    ]

    for token in forgeries:
        assert_problem(service.exchange(token), 401, "unauthenticated")


def test_exchange_with_an_unknown_provider_is_rejected_with_400(service: RunningService) -> None:
    """The status is not 401, because another token would not help."""
    response = service.client.get("/authentication/api/v1/exchange/buypass", headers=bearer(external_token(service)))

    assert_problem(response, 400, "invalid-request")


def test_exchange_without_a_token_is_rejected_with_401(service: RunningService) -> None:
    """The header asks for a bearer token."""
    response = service.client.get(EXCHANGE)
    assert_problem(response, 401, "unauthenticated")

    assert 'Bearer realm="eventfeed"' == response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "header", [{}, {"Authorization": ""}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}]
)
@pytest.mark.parametrize("path", ["/events/api/v1/app/ttd/bolig?after=0", "/events/api/v1/head"])
def test_read_without_a_token_is_rejected_with_401(service: RunningService, header: dict[str, str], path: str) -> None:
    """The header has no error: the request has no token (RFC 6750 §3.1)."""
    response = service.client.get(path, headers=header)
    assert_problem(response, 401, "unauthenticated")

    assert 'Bearer realm="eventfeed"' == response.headers["www-authenticate"]


def test_publish_without_a_token_is_rejected_with_401(service: RunningService) -> None:
    """The service does not parse the body."""
    for path in ("/events/api/v1/app", "/events/api/v1/events"):
        assert_problem(service.client.post(path, content=b"nonsense"), 401, "unauthenticated")


def test_read_with_another_token_is_rejected_with_401(service: RunningService) -> None:
    """An external token must be exchanged, and a forged platform token is invalid."""
    platform = service.token("altinn:events/ttd")
    other_keys = SigningKeys([rsa.generate_private_key(public_exponent=65537, key_size=2048)])
    tokens = [
        external_token(service),
        other_keys.sign(claims_of(platform)),
        jwt.encode(claims_of(platform), "", "none", headers=kid_header(platform)),
        platform[:-8] + "AAAAAAAA",
    ]

    for token in tokens:
        response = service.client.get("/events/api/v1/app/ttd/bolig?after=0", headers=bearer(token))
        assert_problem(response, 401, "unauthenticated")


def test_expired_platform_token_is_rejected_although_it_was_cached(service: RunningService) -> None:
    """The cache evicts the token when it expires."""
    token = service.exchange(external_token(service, exp=int(time.time()) + 2)).raise_for_status().text
    before = service.client.get("/events/api/v1/head", headers=bearer(token))
    time.sleep(2.1)

    assert 200 == before.status_code
    assert_problem(service.client.get("/events/api/v1/head", headers=bearer(token)), 401, "unauthenticated")


def test_platform_token_has_the_short_name_of_the_register(service: RunningService) -> None:
    """An organisation outside the register has none."""
    assert "skd" == claims_of(service.token("x", organisation=SKD))["urn:altinn:org"]
    assert "urn:altinn:org" not in claims_of(service.token("x", organisation="310000011"))
    assert "urn:altinn:partyid" not in claims_of(service.token("x", organisation="999999999"))


def test_development_issuer_responds_only_to_a_loopback_host(service: RunningService) -> None:
    """A web page with a host name of its own gets no development token."""
    form = {"org_number": "991825827", "scope": "altinn:events.publish"}
    response = service.client.post("/development/maskinporten/token", data=form, headers={"Host": "evil.example.com"})

    assert_problem(response, 404, "not-found")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "10.0.0.1"},
        {"x-forwarded-host": "events.example.no"},
        {"X-Forwarded-Proto": ""},
        {"X-Forwarded-Anything": "x"},
        {"Forwarded": "for=10.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Host": "127.0.0.1.example.com"},
        {"Host": "10.0.0.1"},
        {"Host": "[::]"},
        {"Host": "localhost@evil.example.com"},
        {"Host": "127.0.0.1:1", "Origin": "http://127.0.0.1:2"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["token", "jwks", ".well-known/openid-configuration"])
def test_development_issuer_hides_from_others(service: RunningService, path: str, headers: dict[str, str]) -> None:
    """The request came through a proxy, or from a page of another site: its tokens would be anybody's."""
    form = {"org_number": "991825827", "scope": "altinn:events.publish"} if path == "token" else None
    method = "POST" if form else "GET"
    for provider in ("maskinporten", "id-porten"):
        response = service.client.request(method, f"/development/{provider}/{path}", data=form, headers=headers)

        assert_problem(response, 404, "not-found")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1:80", "localhost", "LOCALHOST:8080", "[::1]:8080"])
def test_development_issuer_responds_to_its_own_page(service: RunningService, host: str) -> None:
    """The browser sends the origin of the page with the request."""
    form = {"org_number": "991825827", "scope": "altinn:events.publish"}
    headers = {"Host": host, "Origin": f"http://{host.lower()}"}
    response = service.client.post("/development/maskinporten/token", data=form, headers=headers)

    assert 200 == response.status_code


@pytest.mark.parametrize(
    "details",
    [[{"type": "urn:altinn:systemuser", "systemuser_id": ["a"]}], [{"type": "another"}], [{}, {}], {}, "x", True],
    ids=str,
)
def test_token_with_other_authorization_details_is_rejected_with_401(service: RunningService, details: object) -> None:
    """Its consumer is the vendor of a system, who would get the rights of its whole organisation."""
    response = service.exchange(external_token(service, authorization_details=details))
    assert_problem(response, 401, "unauthenticated")

    assert "authorization_details" in response.json()["detail"]


@pytest.mark.parametrize("provider", ["Maskinporten", "MASKINPORTEN", "maskinPorten"])
def test_provider_of_the_exchange_is_found_without_its_case(service: RunningService, provider: str) -> None:
    """Clients of the platform write it in several ways."""
    response = service.exchange(external_token(service), provider=provider)

    assert "ttd" == claims_of(response.raise_for_status().text)["urn:altinn:org"]


def test_links_ignore_a_host_header_of_another_machine(service: RunningService) -> None:
    """The links begin with the URL of the service."""
    token = service.token("altinn:events/ttd")
    response = service.client.get(
        "/events/api/v1/app/ttd/bolig?after=0", headers={**bearer(token), "Host": "evil.example.com"}
    )

    assert response.headers["next"].startswith(service.url)
