"""The development issuers: their tokens are verified and exchanged like real ones."""

import httpx
import msgspec
import pytest

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.signatures import key_id, signed_payload
from eventfeed.identity.tokens import PlatformIssuer, Provider, verify_platform_token
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import NOW, SECOND, rsa_key

URL = "http://127.0.0.1:8080/development/maskinporten"
AUDIENCE = "http://127.0.0.1:8080"
PLATFORM_ISSUER = f"{AUDIENCE}/authentication/api/v1/openid/"

TTD = {"org_number": "991825827", "scope": "a b"}
UUID = "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"


@pytest.fixture
def issuer() -> DevelopmentIssuer:
    """A development Maskinporten with a key."""
    return DevelopmentIssuer("maskinporten", URL, AUDIENCE, SigningKeys([rsa_key("development")]), lambda: NOW)


async def test_development_token_is_exchanged_like_a_real_one(
    issuer: DevelopmentIssuer, platform_keys: SigningKeys
) -> None:
    """The token, discovery, the keys and the exchange lead to a caller with the requested scopes."""

    def respond(request: httpx.Request) -> httpx.Response:
        documents = {
            f"{URL}/.well-known/openid-configuration": msgspec.json.encode(issuer.discovery()),
            issuer.discovery().jwks_uri: issuer.keys.jwks,
        }
        return httpx.Response(200, content=documents[str(request.url)])

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    keys = ProviderKeys(URL, client, telemetry=Telemetry())
    platform = PlatformIssuer(PLATFORM_ISSUER, platform_keys, lambda: NOW)
    exchange = Exchange(
        {"maskinporten": Provider(issuer=URL, keys=keys, audiences=frozenset({AUDIENCE}))},
        register=LocalRegister(population_file(None)),
        issuer=platform,
        telemetry=Telemetry(),
    )
    token = await exchange.exchange(
        "maskinporten", issuer.token({"org_number": "974761076", "scope": "one:scope two:scope"})
    )
    principal = verify_platform_token(token, platform)

    assert ("skd", "974761076") == (principal.org, principal.organisation)
    assert {"one:scope", "two:scope"} == principal.scopes


def test_development_token_has_the_claims_of_a_maskinporten_token(issuer: DevelopmentIssuer) -> None:
    """The token is valid for ten minutes, and each token has a unique id."""
    key = SigningKeys([rsa_key("development")]).key(key_id(token := issuer.token(TTD)))
    assert key is not None
    claims = msgspec.json.decode(signed_payload(token, key), type=dict[str, object])
    jti = claims.pop("jti")

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
    } == claims
    assert str(jti) not in issuer.token(TTD)
    assert token != issuer.token(TTD)


@pytest.mark.parametrize("number", ["", "99182582", "9918258270", "99182582x", "991825827\n", "٩٩١٨٢٥٨٢٧"])
def test_invalid_organisation_number_is_rejected_with_its_parameter(issuer: DevelopmentIssuer, number: str) -> None:
    """The number must be nine ASCII digits."""
    with pytest.raises(InvalidRequest) as refusal:
        issuer.token({"org_number": number, "scope": "a"})

    assert (Fault(parameter="org_number", detail="must be an organisation number of 9 digits"),) == refusal.value.faults


def test_development_token_of_a_system_user_has_the_claims_of_a_real_one(issuer: DevelopmentIssuer) -> None:
    """The organisation is its vendor."""
    form = {**TTD, "system_user": UUID, "system_user_org": "310000011"}
    key = SigningKeys([rsa_key("development")]).key(key_id(token := issuer.token(form)))
    assert key is not None
    claims = msgspec.json.decode(signed_payload(token, key), type=dict[str, object])

    assert {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"} == claims["consumer"]
    assert [
        {
            "type": "urn:altinn:systemuser",
            "systemuser_id": [UUID],
            "systemuser_org": {"authority": "iso6523-actorid-upis", "ID": "0192:310000011"},
            "system_id": "991825827_development",
        }
    ] == claims["authorization_details"]


@pytest.mark.parametrize(
    ("form", "faults"),
    [
        ({"system_user": UUID}, ["system_user_org"]),
        ({"system_user_org": "310000011"}, ["system_user"]),
        ({"system_user": "x", "system_user_org": "x"}, ["system_user_org", "system_user"]),
        ({"system_user": "", "system_user_org": ""}, ["system_user_org", "system_user"]),
        ({"system_user": ""}, ["system_user_org", "system_user"]),
        ({"system_user": f"{UUID}\n", "system_user_org": "310000011"}, ["system_user"]),
        ({"system_user": UUID, "system_user_org": "3100000111", "org_number": ""}, ["org_number", "system_user_org"]),
    ],
    ids=str,
)
def test_invalid_system_user_is_rejected_with_every_fault(
    issuer: DevelopmentIssuer, form: dict[str, str], faults: list[str]
) -> None:
    """One without its organisation would be a token of the vendor."""
    with pytest.raises(InvalidRequest) as refusal:
        issuer.token({**TTD, **form})

    assert faults == [fault.parameter for fault in refusal.value.faults]


def id_porten_issuer() -> DevelopmentIssuer:
    """Return a development ID-porten with a key."""
    return DevelopmentIssuer("id-porten", URL, AUDIENCE, SigningKeys([rsa_key("development")]), lambda: NOW)


@pytest.mark.parametrize("level", ["low", "substantial", "high", None])
def test_development_token_of_a_person_has_the_claims_of_an_id_porten_token(level: str | None) -> None:
    """The token has number and level, and is valid for ten minutes. Each token has another subject."""
    form = {"person": "01838012345"} | ({} if level is None else {"level": level})
    key = SigningKeys([rsa_key("development")]).key(key_id(token := id_porten_issuer().token(form)))
    assert key is not None
    claims = msgspec.json.decode(signed_payload(token, key), type=dict[str, object])

    assert ("01838012345", f"idporten-loa-{level or 'high'}", SECOND + 600) == (
        claims["pid"],
        claims["acr"],
        claims["exp"],
    )
    assert {"iss", "aud", "sub", "scope", "client_id", "iat", "jti"} < claims.keys()
    assert claims["sub"] != msgspec.json.decode(
        signed_payload(id_porten_issuer().token(form), key), type=dict[str, object]
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
def test_invalid_person_or_level_is_rejected_with_every_fault(form: dict[str, str], faults: list[str]) -> None:
    """The message does not repeat the number."""
    with pytest.raises(InvalidRequest) as refusal:
        id_porten_issuer().token(form)

    assert faults == [fault.parameter for fault in refusal.value.faults]
