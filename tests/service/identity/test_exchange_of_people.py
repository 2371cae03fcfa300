"""The exchange for people: the platform token has user, party and level, and never the person number."""

import msgspec
import pytest

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Unauthenticated
from eventfeed.identity.exchange import Exchange
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import PlatformIssuer, verify_platform_token
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import NOW, SECOND, ProviderDouble, claims
from tests.service.identity.test_exchange import platform_claims

ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
ID_PORTEN = "https://idporten.example.no"
KARI, OLA, PERSON_WITHOUT_USER = "01838012345", "02838012346", "03018012345"
CLAIMS = {
    "iss": ID_PORTEN,
    "scope": "openid profile",
    "client_id": "oidc-client",
    "sub": "zOkSnUW-kU1Zr2bS",
    "pid": KARI,
    "acr": "idporten-loa-high",
    "amr": ["BankID"],
    "consumer": None,
    "client_amr": None,
    "sid": "session",
}


@pytest.fixture
def id_porten() -> ProviderDouble:
    """A double of ID-porten at the wire."""
    return ProviderDouble(ID_PORTEN)


def exchange_of(double: ProviderDouble, keys: SigningKeys, *, maskinporten: ProviderDouble | None = None) -> Exchange:
    """Return an exchange of both providers' tokens, with the development population."""
    return Exchange(
        {"id-porten": double.provider(), "maskinporten": (maskinporten or ProviderDouble()).provider()},
        register=LocalRegister(population_file(None)),
        issuer=PlatformIssuer(ISSUER, keys, lambda: NOW),
        telemetry=Telemetry(),
    )


async def exchange(double: ProviderDouble, keys: SigningKeys, **changes: object) -> dict[str, object]:
    """Exchange an ID-porten token with these claims and return the claims of the platform token."""
    token = double.token(**{**CLAIMS, **changes})
    return platform_claims(await exchange_of(double, keys).exchange("id-porten", token), keys)


async def test_platform_token_of_a_person_identifies_the_user(
    id_porten: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """User, party, method and level are added; number, issuer, audience and session are dropped."""
    others = {name: value for name, value in claims(**CLAIMS).items() if name not in {"iss", "aud", "sid", "pid"}}
    ours = {
        "urn:altinn:userid": 20000001,
        "urn:altinn:partyid": 50000001,
        "urn:altinn:authenticatemethod": "id-porten",
        "urn:altinn:authlevel": 4,
        "iss": ISSUER,
        "iat": SECOND,
        "nbf": SECOND,
        "exp": SECOND + 100,
    }

    assert {**others, **ours} == await exchange(id_porten, platform_keys)


@pytest.mark.parametrize("details", [[{"type": "urn:altinn:systemuser"}], [{"type": "another"}], {}, "x"], ids=str)
async def test_token_of_a_person_with_authorization_details_is_rejected(
    id_porten: ProviderDouble, platform_keys: SigningKeys, details: object
) -> None:
    """The person gave the token for something else than all of their rights (RFC 9396 §9.1)."""
    with pytest.raises(Unauthenticated, match="authorization_details"):
        await exchange(id_porten, platform_keys, authorization_details=details)


async def test_platform_token_of_a_person_is_verified_without_scopes(
    id_porten: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """The token has no organisation, and its scopes have no effect."""
    token = await exchange_of(id_porten, platform_keys).exchange("id-porten", id_porten.token(**{**CLAIMS, "pid": OLA}))
    principal = verify_platform_token(token, PlatformIssuer(ISSUER, platform_keys, lambda: NOW))

    assert ("20000002", "50000002", None, 4) == (
        principal.user,
        principal.party,
        principal.organisation,
        principal.level,
    )
    assert not principal.has("openid")


@pytest.mark.parametrize(
    ("acr", "level"), [("idporten-loa-low", 0), ("idporten-loa-substantial", 3), ("idporten-loa-high", 4)]
)
async def test_acr_becomes_an_authentication_level(
    id_porten: ProviderDouble, platform_keys: SigningKeys, acr: str, level: int
) -> None:
    """Low is 0, substantial 3, high 4."""
    assert level == (await exchange(id_porten, platform_keys, acr=acr))["urn:altinn:authlevel"]


@pytest.mark.parametrize(
    "acr", [None, "", "Level4", "idporten-loa-HIGH", "idporten-loa-high ", 4, ["idporten-loa-high"]]
)
async def test_unknown_acr_is_rejected(id_porten: ProviderDouble, platform_keys: SigningKeys, acr: object) -> None:
    """Only the exact values of ID-porten are accepted."""
    with pytest.raises(Unauthenticated, match="acr"):
        await exchange(id_porten, platform_keys, acr=acr)


@pytest.mark.parametrize("pid", [None, "", "0183801234", "018380123456", f"{KARI}\n", int(KARI), [KARI], "x1838012345"])
async def test_pid_that_is_not_a_number_is_rejected(
    id_porten: ProviderDouble, platform_keys: SigningKeys, pid: object
) -> None:
    """The claim must be a string of eleven digits."""
    with pytest.raises(Unauthenticated, match="pid"):
        await exchange(id_porten, platform_keys, pid=pid)


async def test_person_without_a_user_is_rejected(id_porten: ProviderDouble, platform_keys: SigningKeys) -> None:
    """The message does not repeat the number."""
    with pytest.raises(Unauthenticated, match="no user") as refusal:
        await exchange(id_porten, platform_keys, pid=PERSON_WITHOUT_USER)

    assert PERSON_WITHOUT_USER not in str(refusal.value)


@pytest.mark.parametrize(
    "claim",
    [
        {"sub": KARI},
        {"sub": f"urn:{KARI}:x"},
        {"act": {"person": [KARI]}},
        {"number": int("9" + KARI)},
        {KARI: "x"},
    ],
    ids=str,
)
async def test_claim_that_contains_the_person_number_is_dropped(
    id_porten: ProviderDouble, platform_keys: SigningKeys, claim: dict[str, object]
) -> None:
    """This holds for names and values, at any depth."""
    result = await exchange(id_porten, platform_keys, **claim)

    assert result.keys().isdisjoint(claim)
    assert KARI not in msgspec.json.encode(result).decode()


async def test_id_token_of_a_person_is_rejected(id_porten: ProviderDouble, platform_keys: SigningKeys) -> None:
    """An id token identifies a person to a client, and is no access token."""
    with pytest.raises(Unauthenticated, match="id token"):
        await exchange(id_porten, platform_keys, scope=None, client_id=None, nonce="n")


async def test_token_of_the_other_provider_is_rejected(id_porten: ProviderDouble, platform_keys: SigningKeys) -> None:
    """The token has another issuer. This holds in both directions, even with the other provider's claims."""
    maskinporten = ProviderDouble()
    service = exchange_of(id_porten, platform_keys, maskinporten=maskinporten)
    both = {"pid": KARI, "acr": "idporten-loa-high", "consumer": claims()["consumer"]}

    with pytest.raises(Unauthenticated, match="issuer"):
        await service.exchange("id-porten", maskinporten.token(**both))
    with pytest.raises(Unauthenticated, match="issuer"):
        await service.exchange("maskinporten", id_porten.token(**{**CLAIMS, **both}))


async def test_platform_claims_in_an_id_porten_token_are_dropped(
    id_porten: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """A consumer beside the pid is passed on as a claim, and makes the caller no organisation."""
    extra_claims = {"urn:altinn:orgNumber": "991825827", "urn:altinn:org": "ttd", "URN:altinn:authlevel": 4}
    consumer = claims()["consumer"]
    result = await exchange(id_porten, platform_keys, consumer=consumer, acr="idporten-loa-low", **extra_claims)

    assert result.keys().isdisjoint(extra_claims)
    assert 0 == result["urn:altinn:authlevel"]
