"""Tokens of the platform's own issuer, with the claims that Altinn writes."""

import asyncio
import base64
from collections.abc import Mapping

import httpx
import msgspec
import pytest

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.ports import Register
from eventfeed.domain.principal import Method, Principal
from eventfeed.identity.keys import ProviderKeys
from eventfeed.identity.tokens import Provider
from eventfeed.identity.trusted_issuer import TrustedIssuer
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import ISSUER as MASKINPORTEN
from tests.service.identity.provider_double import NOW, SECOND, ProviderDouble, rsa_key
from tests.service.identity.test_exchange import UnavailableRegister

ISSUER = "https://platform.example.no/authentication/api/v1/openid/"
UUID = "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"
BAKERY = {"authority": "iso6523-actorid-upis", "ID": "0192:310000011"}
DETAILS = {"type": "urn:altinn:systemuser", "systemuser_org": BAKERY, "systemuser_id": [UUID], "system_id": "s"}
# Claims that Altinn's exchange writes for an organisation and for a person. Both have no audience.
ORGANISATION: Mapping[str, object] = {
    "scope": "altinn:events/ttd altinn:events.publish",
    "token_type": "Bearer",
    "client_id": "5f6d7e8a",
    "jti": "a1",
    "consumer": {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"},
    "urn:altinn:orgNumber": "991825827",
    "urn:altinn:authenticatemethod": "maskinporten",
    "urn:altinn:authlevel": 3,
    "sid": "8f0c",
    "iss": ISSUER,
    "nbf": SECOND - 5,
    "iat": SECOND - 5,
    "exp": SECOND + 1_795,
}
PERSON: Mapping[str, object] = {
    "nameid": "20000001",
    "urn:altinn:userid": "20000001",
    "urn:altinn:username": "",
    "urn:altinn:partyid": 50000001,
    "urn:altinn:party:uuid": "7b2e0a4c-5d3f-4c66-9a51-000050000001",
    "urn:altinn:authenticatemethod": "BankID",
    "urn:altinn:authlevel": 4,
    "amr": "BankID",
    "acr": "idporten-loa-high",
    "pid": "01838012345",
    "scope": "openid altinn:instances.read",
    "client_id": "oidc-client",
    "sid": "8f0d",
    "iss": ISSUER,
    "nbf": SECOND - 5,
    "iat": SECOND - 5,
    "exp": SECOND + 595,
}


def platform_number(value: int) -> str:
    """Return a number as Altinn's key set has it: in base64 with padding."""
    return base64.b64encode(value.to_bytes((value.bit_length() + 7) // 8)).decode()


@pytest.fixture
def platform() -> ProviderDouble:
    """A double of the platform's issuer at the wire. Its key set has Altinn's form, without `alg`."""
    double = ProviderDouble(ISSUER)
    path = "/authentication/api/v1/openid/.well-known/openid-configuration"
    numbers = rsa_key("one").public_key().public_numbers()
    jwk = {"kty": "RSA", "use": "sig", "kid": "key-1", "x5c": ["MII="]}
    jwk |= {"e": platform_number(numbers.e), "n": platform_number(numbers.n)}
    double.documents = {
        path: httpx.Response(
            200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}.well-known/openid-configuration/jwks"}
        ),
        f"{path}/jwks": httpx.Response(200, json={"keys": [jwk]}),
    }
    return double


def trusted_issuer(double: ProviderDouble, *, register: Register | None = None) -> TrustedIssuer:
    """Return the issuer as the service trusts it, with the development population."""
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    provider = Provider(issuer=ISSUER, keys=keys, audiences=None)
    return TrustedIssuer(provider, register or LocalRegister(population_file(None)), lambda: NOW)


def token(double: ProviderDouble, claims: Mapping[str, object], **changes: object) -> str:
    """Return a signed token of these claims, without claims that are None."""
    changed = {**claims, **changes}
    return double.sign({name: value for name, value in changed.items() if value is not None}, kid="key-1")


async def principal(double: ProviderDouble, claims: Mapping[str, object], **changes: object) -> Principal:
    """Return the caller of a token of these claims."""
    return await trusted_issuer(double).principal(token(double, claims, **changes))


async def test_token_of_an_organisation_has_party_and_short_name_of_the_register(platform: ProviderDouble) -> None:
    """The platform writes the short name only for some scopes, and never the party."""
    caller = await principal(platform, ORGANISATION)

    assert (Method.MASKINPORTEN, 3, SECOND + 1_795) == (caller.method, caller.level, caller.expires)
    assert ("991825827", "ttd", "50002001") == (caller.organisation, caller.org, caller.party)
    assert (None, None) == (caller.user, caller.system_user)
    assert caller.has("altinn:events/ttd")
    assert caller.is_publisher


async def test_short_name_of_the_platform_is_believed(platform: ProviderDouble) -> None:
    """Its register is newer than a file. The party is that of the register."""
    caller = await principal(platform, ORGANISATION, **{"urn:altinn:org": "brg"})

    assert ("brg", "50002001") == (caller.org, caller.party)


async def test_organisation_outside_the_register_has_neither_party_nor_short_name(platform: ProviderDouble) -> None:
    """It may have rights by its number."""
    caller = await principal(platform, ORGANISATION, **{"urn:altinn:orgNumber": "999999999"})

    assert ("999999999", None, None) == (caller.organisation, caller.org, caller.party)


@pytest.mark.parametrize(
    "method", ["BankID", "TestID", "Minid-PIN", "NotDefined", "IdportenTestId", "VirksomhetsBruker", "id-porten", ""]
)
async def test_token_of_a_person_has_user_party_and_level(platform: ProviderDouble, method: str) -> None:
    """The method is the way in which the person signed in. Scopes and organisations give a person nothing."""
    changes = {"urn:altinn:authenticatemethod": method, "urn:altinn:orgNumber": "991825827", "urn:altinn:org": "ttd"}
    caller = await principal(platform, PERSON, scope="altinn:events/ttd altinn:events.publish.admin", **changes)

    assert (Method.ID_PORTEN, "20000001", "50000001", 4) == (caller.method, caller.user, caller.party, caller.level)
    assert (None, None) == (caller.organisation, caller.org)
    assert not caller.has("altinn:events/ttd")
    assert not caller.is_publisher


@pytest.mark.parametrize("method", ["maskinporten", "MaskinPorten", "Maskinporten", "MASKINPORTEN"])
async def test_maskinporten_is_recognised_in_every_case(platform: ProviderDouble, method: str) -> None:
    """The exchange writes it in small letters, the platform's list of methods with capitals."""
    assert (
        Method.MASKINPORTEN
        == (await principal(platform, ORGANISATION, **{"urn:altinn:authenticatemethod": method})).method
    )


@pytest.mark.parametrize(("level", "number"), [(0, 0), (3, 3), ("3", 3), ("4", 4), ("0", 0), (2, 2)])
async def test_level_is_a_number_or_text(platform: ProviderDouble, level: object, number: int) -> None:
    """Altinn's own writers differ."""
    assert number == (await principal(platform, PERSON, **{"urn:altinn:authlevel": level})).level


@pytest.mark.parametrize("id_", [20000001, "20000001"])
async def test_ids_are_numbers_or_text(platform: ProviderDouble, id_: object) -> None:
    """The result is the same caller."""
    caller = await principal(platform, PERSON, **{"urn:altinn:userid": id_, "urn:altinn:partyid": id_})

    assert ("20000001", "20000001") == (caller.user, caller.party)


@pytest.mark.parametrize(
    "details", [DETAILS, [DETAILS], {**DETAILS, "systemuser_id": [UUID.upper()]}], ids=["1", "2", "3"]
)
async def test_token_of_a_system_user_has_the_party_of_its_organisation(
    platform: ProviderDouble, details: object
) -> None:
    """The number and the short name in the token are those of its vendor, and give nothing."""
    changes = {"authorization_details": details, "urn:altinn:org": "ttd"}
    caller = await principal(platform, ORGANISATION, **changes)

    assert (Method.MASKINPORTEN, UUID, "51000011") == (caller.method, caller.system_user, caller.party)
    assert (None, None, None) == (caller.organisation, caller.org, caller.user)
    assert not caller.is_publisher
    assert not caller.has("altinn:events/ttd")


async def test_claim_of_a_system_user_is_believed(platform: ProviderDouble) -> None:
    """A platform like this service writes it. The party is that of the token."""
    changes = {"urn:altinn:systemuser:uuid": UUID.upper(), "urn:altinn:partyid": 51000011}
    caller = await principal(platform, ORGANISATION, **changes)

    assert (UUID, "51000011", None) == (caller.system_user, caller.party, caller.organisation)


@pytest.mark.parametrize(
    "details",
    [
        [DETAILS, DETAILS],
        [{**DETAILS, "type": "another"}],
        {**DETAILS, "type": "another"},
        {**DETAILS, "systemuser_id": []},
        {**DETAILS, "systemuser_id": ["a"]},
        {**DETAILS, "systemuser_org": None},
        {},
        "urn:altinn:systemuser",
        msgspec.json.encode(DETAILS).decode(),
        True,
    ],
    ids=str,
)
@pytest.mark.parametrize("claims", [ORGANISATION, PERSON], ids=["organisation", "person"])
async def test_other_authorization_details_are_rejected_by_name(
    platform: ProviderDouble, details: object, claims: Mapping[str, object]
) -> None:
    """A token that was issued for less must not give the rights of the whole organisation or person."""
    with pytest.raises(Unauthenticated, match="authorization_details"):
        await principal(platform, claims, authorization_details=details)


@pytest.mark.parametrize(
    ("claims", "changes", "reason"),
    [
        (ORGANISATION, {"urn:altinn:authenticatemethod": None}, "missing"),
        (ORGANISATION, {"urn:altinn:authenticatemethod": ["maskinporten", "x"]}, "missing"),
        (ORGANISATION, {"urn:altinn:authlevel": None}, "missing"),
        (ORGANISATION, {"urn:altinn:authlevel": 5}, "missing"),
        (ORGANISATION, {"urn:altinn:authlevel": "5"}, "missing"),
        (ORGANISATION, {"urn:altinn:authlevel": "three"}, "missing"),
        (ORGANISATION, {"urn:altinn:authlevel": True}, "missing"),
        (ORGANISATION, {"urn:altinn:authlevel": 3.5}, "missing"),
        (ORGANISATION, {"urn:altinn:orgNumber": None}, "names no organisation"),
        (ORGANISATION, {"urn:altinn:orgNumber": "99182582"}, "missing"),
        (ORGANISATION, {"urn:altinn:orgNumber": 991825827}, "missing"),
        (ORGANISATION, {"urn:altinn:org": ""}, "missing"),
        (ORGANISATION, {"urn:altinn:org": "a/b"}, "missing"),
        (ORGANISATION, {"urn:altinn:systemuser:uuid": "x"}, "missing"),
        (ORGANISATION, {"iss": MASKINPORTEN}, "another issuer"),
        (ORGANISATION, {"iss": ISSUER.rstrip("/")}, "another issuer"),
        (ORGANISATION, {"iss": None}, "missing"),
        (ORGANISATION, {"exp": SECOND}, "expired"),
        (ORGANISATION, {"exp": None}, "missing"),
        (ORGANISATION, {"nbf": SECOND + 60}, "not valid yet"),
        (ORGANISATION, {"scope": None, "client_id": None}, "id token"),
        (ORGANISATION, {"nonce": "n"}, "id token"),
        (PERSON, {"urn:altinn:userid": None}, "names no user"),
        (PERSON, {"urn:altinn:userid": "0"}, "missing"),
        (PERSON, {"urn:altinn:userid": ""}, "missing"),
        (PERSON, {"urn:altinn:userid": -1}, "missing"),
        (PERSON, {"urn:altinn:userid": 2**63}, "missing"),
        (PERSON, {"urn:altinn:partyid": "01838012345"}, "missing"),
        (PERSON, {"urn:altinn:partyid": [50000001, 50000002]}, "missing"),
        (PERSON, {"scope": None, "client_id": None, "aud": "oidc-client"}, "id token"),
        (PERSON, {"at_hash": "h"}, "id token"),
    ],
    ids=str,
)
async def test_invalid_token_of_the_platform_is_rejected(
    platform: ProviderDouble, claims: Mapping[str, object], changes: Mapping[str, object], reason: str
) -> None:
    """The message repeats no claim."""
    with pytest.raises(Unauthenticated, match=reason) as refusal:
        await principal(platform, claims, **changes)

    assert "01838012345" not in str(refusal.value)


async def test_forged_token_of_the_platform_is_rejected(platform: ProviderDouble) -> None:
    """Another key, another key id and no signature give nothing."""
    issuer, valid_token = trusted_issuer(platform), token(platform, ORGANISATION)
    forger = ProviderDouble(ISSUER)
    forger.keys = {"key-1": ProviderDouble().keys["key-1"], "key-2": ProviderDouble().keys["key-1"]}
    unsigned = msgspec.json.encode({"alg": "none", "kid": "key-1"})
    head = base64.urlsafe_b64encode(unsigned).decode().rstrip("=")
    forgeries = [f"{valid_token[:-8]}AAAAAAAA", f"{head}.{valid_token.split('.')[1]}."]

    assert "991825827" == (await issuer.principal(valid_token)).organisation
    for forgery in forgeries:
        with pytest.raises(Unauthenticated):
            await issuer.principal(forgery)
    with pytest.raises((Unauthenticated, Unavailable)):
        await issuer.principal(forger.sign(ORGANISATION, kid="key-2"))


@pytest.mark.parametrize("changes", [{"iss": MASKINPORTEN}, {"exp": SECOND - 1}])
async def test_hopeless_token_makes_no_request_for_keys(
    platform: ProviderDouble, changes: Mapping[str, object]
) -> None:
    """Otherwise each stranger could make the service call the platform."""
    with pytest.raises(Unauthenticated):
        await principal(platform, ORGANISATION, **changes)

    assert [] == platform.requests


async def test_concurrent_tokens_share_one_fetch_of_the_keys(platform: ProviderDouble) -> None:
    """The discovery document and the keys are requested once, and not again for the next token."""
    issuer = trusted_issuer(platform)
    tokens = [token(platform, ORGANISATION, jti=str(number)) for number in range(20)]
    callers = await asyncio.gather(*map(issuer.principal, tokens))
    await issuer.principal(token(platform, PERSON))

    assert 20 == len({caller.token for caller in callers})
    assert 2 == len(platform.requests)


async def test_platform_without_a_response_is_unavailable(platform: ProviderDouble) -> None:
    """The caller's token may be valid, so it is no 401. A key that is known needs no response."""
    issuer = trusted_issuer(platform)
    platform.is_down = True
    with pytest.raises(Unavailable) as failure:
        await issuer.principal(token(platform, ORGANISATION))

    assert failure.value.retry_seconds > 0


async def test_failure_of_the_register_is_unavailable(platform: ProviderDouble) -> None:
    """Without its party, an organisation would see an empty feed of its own."""
    with pytest.raises(Unavailable):
        await trusted_issuer(platform, register=UnavailableRegister()).principal(token(platform, ORGANISATION))


async def test_token_names_its_issuer_without_verification(platform: ProviderDouble) -> None:
    """So only its tokens are verified with its keys."""
    issuer = trusted_issuer(platform)
    tokens = [token(platform, ORGANISATION, iss=each) for each in (ISSUER, MASKINPORTEN, None, 7)]

    assert [True, False, False, False] == [issuer.is_named_by(each) for each in tokens]
    with pytest.raises(Unauthenticated):
        issuer.is_named_by("a.b.c")
