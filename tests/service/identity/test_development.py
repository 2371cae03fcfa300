"""The development issuer: its tokens go the way of real ones."""

import httpx
import msgspec
import pytest

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.signatures import key_id, signed_payload
from eventfeed.identity.tokens import PlatformTokens, Provider
from tests.service.identity.providing import NOW, SECOND, rsa_key

URL = "http://127.0.0.1:8080/development/maskinporten"
AUDIENCE = "http://127.0.0.1:8080"
PLATFORM_ISSUER = f"{AUDIENCE}/authentication/api/v1/openid/"

TTD = {"org_number": "991825827", "scope": "a b"}
SKD = {"org_number": "974761076"}


@pytest.fixture
def issuer() -> DevelopmentIssuer:
    """A development Maskinporten with a key of its own."""
    return DevelopmentIssuer("maskinporten", URL, AUDIENCE, SigningKeys([rsa_key("development")]), lambda: NOW)


async def test_its_token_is_exchanged_like_a_real_one(issuer: DevelopmentIssuer, platform_keys: SigningKeys) -> None:
    """Through discovery, its keys, the exchange, to a caller with the scopes that were asked for."""

    def answer(request: httpx.Request) -> httpx.Response:
        published = {
            f"{URL}/.well-known/openid-configuration": msgspec.json.encode(issuer.discovery()),
            issuer.discovery().jwks_uri: issuer.keys.jwks,
        }
        return httpx.Response(200, content=published[str(request.url)])

    keys = ProviderKeys(URL, httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    exchange = Exchange(
        {"maskinporten": Provider(issuer=URL, keys=keys, accepted=frozenset({AUDIENCE}))},
        register=LocalRegister(population_file(None)),
        keys=platform_keys,
        issuer=PLATFORM_ISSUER,
        clock=lambda: NOW,
    )
    token = await exchange.exchange(
        "maskinporten", issuer.token({"org_number": "974761076", "scope": "one:scope two:scope"})
    )
    principal = PlatformTokens(platform_keys, issuer=PLATFORM_ISSUER, clock=lambda: NOW).verify(token)

    assert ("skd", "974761076") == (principal.org, principal.organisation)
    assert {"one:scope", "two:scope"} == principal.scopes


def test_its_token_says_what_maskinportens_says(issuer: DevelopmentIssuer) -> None:
    """The same claims, for ten minutes, each token with an id of its own."""
    key = SigningKeys([rsa_key("development")]).key(key_id(token := issuer.token(TTD)))
    assert key is not None
    said = msgspec.json.decode(signed_payload(token, key), type=dict[str, object])
    jti = said.pop("jti")

    assert {
        "iss": URL,
        "aud": AUDIENCE,
        "scope": "a b",
        "client_id": "development-991825827",
        "client_amr": "private_key_jwt",
        "token_type": "Bearer",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"},
        "iat": SECOND,
        "exp": SECOND + 600,
    } == said
    assert str(jti) not in issuer.token(TTD)
    assert token != issuer.token(TTD)


@pytest.mark.parametrize("number", ["", "99182582", "9918258270", "99182582x", "991825827\n", "٩٩١٨٢٥٨٢٧"])
def test_what_is_no_organisation_number_is_refused(issuer: DevelopmentIssuer, number: str) -> None:
    """With the parameter named."""
    with pytest.raises(InvalidRequest) as refusal:
        issuer.token({"org_number": number, "scope": "a"})

    assert (Fault(parameter="org_number", detail="must be an organisation number of 9 digits"),) == refusal.value.faults


def persons_issuer() -> DevelopmentIssuer:
    """A development ID-porten with a key of its own."""
    return DevelopmentIssuer("id-porten", URL, AUDIENCE, SigningKeys([rsa_key("development")]), lambda: NOW)


@pytest.mark.parametrize("level", ["low", "substantial", "high", None])
def test_a_persons_token_says_what_id_portens_says(level: str | None) -> None:
    """Number and level, for ten minutes; the subject tells nobody who it is."""
    form = {"person": "01838012345"} | ({} if level is None else {"level": level})
    key = SigningKeys([rsa_key("development")]).key(key_id(token := persons_issuer().token(form)))
    assert key is not None
    said = msgspec.json.decode(signed_payload(token, key), type=dict[str, object])

    assert ("01838012345", f"idporten-loa-{level or 'high'}", SECOND + 600) == (said["pid"], said["acr"], said["exp"])
    assert {"iss", "aud", "sub", "scope", "client_id", "iat", "jti"} < said.keys()
    assert said["sub"] != msgspec.json.decode(
        signed_payload(persons_issuer().token(form), key), type=dict[str, object]
    ).get("sub")


@pytest.mark.parametrize(
    ("form", "faults"),
    [
        ({}, ["person"]),
        ({"person": "0183801234"}, ["person"]),
        ({"person": "01838012345", "level": "4"}, ["level"]),
        ({"person": "x", "level": ""}, ["person", "level"]),
    ],
)
def test_who_is_no_person_is_refused(form: dict[str, str], faults: list[str]) -> None:
    """Every fault at once, and the number is not repeated."""
    with pytest.raises(InvalidRequest) as refusal:
        persons_issuer().token(form)

    assert faults == [fault.parameter for fault in refusal.value.faults]
