"""The exchange for people: who ID-porten says they are, how surely, and never their number."""

import msgspec
import pytest

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Unauthenticated
from eventfeed.identity.exchange import Exchange
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import PlatformTokens
from tests.service.identity.providing import NOW, SECOND, Double, claims
from tests.service.identity.test_exchange import said

ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
ID_PORTEN = "https://idporten.example.no"
KARI, OLA, NOBODY = "01838012345", "02838012346", "03018012345"
SAID = {
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
def id_porten() -> Double:
    """An ID-porten at the wire."""
    return Double(ID_PORTEN)


def exchange_of(double: Double, keys: SigningKeys, *, maskinporten: Double | None = None) -> Exchange:
    """An exchange that knows both providers and the development population."""
    return Exchange(
        {"id-porten": double.provider(), "maskinporten": (maskinporten or Double()).provider()},
        register=LocalRegister(population_file(None)),
        keys=keys,
        issuer=ISSUER,
        clock=lambda: NOW,
    )


async def exchanged(double: Double, keys: SigningKeys, **changes: object) -> dict[str, object]:
    """What the platform token says for an ID-porten token of these claims."""
    token = double.token(**{**SAID, **changes})
    return said(await exchange_of(double, keys).exchange("id-porten", token), keys)


async def test_the_platform_token_names_a_user(id_porten: Double, platform_keys: SigningKeys) -> None:
    """User, party, method and level are added; number, issuer, audience and session are not kept."""
    expected = {name: value for name, value in claims(**SAID).items() if name not in {"iss", "aud", "sid", "pid"}}
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

    assert {**expected, **ours} == await exchanged(id_porten, platform_keys)


async def test_the_platform_knows_the_user_again(id_porten: Double, platform_keys: SigningKeys) -> None:
    """With no organisation, and no scope that counts."""
    token = await exchange_of(id_porten, platform_keys).exchange("id-porten", id_porten.token(**{**SAID, "pid": OLA}))
    principal = PlatformTokens(platform_keys, issuer=ISSUER, clock=lambda: NOW).verify(token)

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
async def test_acr_is_a_level(id_porten: Double, platform_keys: SigningKeys, acr: str, level: int) -> None:
    """Low is 0, substantial 3, high 4."""
    assert level == (await exchanged(id_porten, platform_keys, acr=acr))["urn:altinn:authlevel"]


@pytest.mark.parametrize(
    "acr", [None, "", "Level4", "idporten-loa-HIGH", "idporten-loa-high ", 4, ["idporten-loa-high"]]
)
async def test_an_unknown_acr_is_refused(id_porten: Double, platform_keys: SigningKeys, acr: object) -> None:
    """Nobody is trusted more than ID-porten says in so many words."""
    with pytest.raises(Unauthenticated, match="acr"):
        await exchanged(id_porten, platform_keys, acr=acr)


@pytest.mark.parametrize("pid", [None, "", "0183801234", "018380123456", f"{KARI}\n", int(KARI), [KARI], "x1838012345"])
async def test_a_pid_that_is_no_number_is_refused(id_porten: Double, platform_keys: SigningKeys, pid: object) -> None:
    """Eleven digits, as text."""
    with pytest.raises(Unauthenticated, match="pid"):
        await exchanged(id_porten, platform_keys, pid=pid)


async def test_whom_the_register_does_not_know_is_refused(id_porten: Double, platform_keys: SigningKeys) -> None:
    """And the refusal does not repeat the number."""
    with pytest.raises(Unauthenticated, match="knows no user") as refusal:
        await exchanged(id_porten, platform_keys, pid=NOBODY)

    assert NOBODY not in str(refusal.value)


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
async def test_a_claim_that_repeats_the_number_goes_no_further(
    id_porten: Double, platform_keys: SigningKeys, claim: dict[str, object]
) -> None:
    """Wherever it stands."""
    found = await exchanged(id_porten, platform_keys, **claim)

    assert found.keys().isdisjoint(claim)
    assert KARI not in msgspec.json.encode(found).decode()


async def test_an_id_token_is_refused(id_porten: Double, platform_keys: SigningKeys) -> None:
    """It tells a client who logged in."""
    with pytest.raises(Unauthenticated, match="id token"):
        await exchanged(id_porten, platform_keys, scope=None, client_id=None, nonce="n")


async def test_maskinportens_token_is_no_persons(id_porten: Double, platform_keys: SigningKeys) -> None:
    """At the other provider's path it is of another issuer, in both directions, even with the other's claims."""
    maskinporten = Double()
    exchange = exchange_of(id_porten, platform_keys, maskinporten=maskinporten)
    both = {"pid": KARI, "acr": "idporten-loa-high", "consumer": claims()["consumer"]}

    with pytest.raises(Unauthenticated, match="issuer"):
        await exchange.exchange("id-porten", maskinporten.token(**both))
    with pytest.raises(Unauthenticated, match="issuer"):
        await exchange.exchange("maskinporten", id_porten.token(**{**SAID, **both}))


async def test_a_persons_token_gets_no_organisation_by_smuggling(id_porten: Double, platform_keys: SigningKeys) -> None:
    """A consumer beside the pid is kept as a claim, and makes nobody an organisation."""
    smuggled = {"urn:altinn:orgNumber": "991825827", "urn:altinn:org": "ttd", "URN:altinn:authlevel": 4}
    found = await exchanged(id_porten, platform_keys, consumer=claims()["consumer"], acr="idporten-loa-low", **smuggled)

    assert found.keys().isdisjoint(smuggled)
    assert 0 == found["urn:altinn:authlevel"]
