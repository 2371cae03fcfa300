"""The exchange for system users: the platform token is of the system user, and never of its vendor."""

import msgspec
import pytest

from eventfeed.domain.errors import InsufficientScope, Unauthenticated
from eventfeed.domain.principal import require_publisher
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import PlatformIssuer, verify_platform_token
from tests.service.identity.provider_double import NOW, SECOND, ProviderDouble, claims
from tests.service.identity.test_exchange import ISSUER, exchange, exchange_of

UUID = "7b2e0a4c-5d3f-4c66-9a51-9a0000000011"
BAKERY = {"authority": "iso6523-actorid-upis", "ID": "0192:310000011"}
DETAILS = {
    "type": "urn:altinn:systemuser",
    "systemuser_org": BAKERY,
    "systemuser_id": [UUID],
    "system_id": "991825827_system",
}


def ids(details: object) -> str:
    """Return a short id of a case."""
    return repr(bytes(details) if isinstance(details, msgspec.Raw) else details)[-60:]


async def test_platform_token_of_a_system_user_has_the_party_of_its_organisation(
    double: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """The other claims are kept: the vendor stays in `consumer`. Number and short name of the vendor give no claim."""
    others = {
        name: value for name, value in claims(authorization_details=[DETAILS]).items() if name not in {"iss", "aud"}
    }
    ours = {
        "urn:altinn:systemuser:uuid": UUID,
        "urn:altinn:partyid": 51000011,
        "urn:altinn:authenticatemethod": "maskinporten",
        "urn:altinn:authlevel": 3,
        "iss": ISSUER,
        "iat": SECOND,
        "nbf": SECOND,
        "exp": SECOND + 100,
    }

    assert {**others, **ours} == await exchange(double, platform_keys, authorization_details=[DETAILS])


async def test_platform_token_of_a_system_user_is_verified_without_the_vendor(
    double: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """The vendor's scopes give nothing: `ttd` is its own app's organisation."""
    token = double.token(authorization_details=[DETAILS], scope="altinn:events/ttd altinn:events.publish.admin")
    platform_token = await exchange_of(double, platform_keys).exchange("maskinporten", token)
    principal = verify_platform_token(platform_token, PlatformIssuer(ISSUER, platform_keys, lambda: NOW))

    assert (UUID, "51000011") == (principal.system_user, principal.party)
    assert (None, None, None) == (principal.organisation, principal.org, principal.user)
    assert not principal.has("altinn:events/ttd")
    with pytest.raises(InsufficientScope):
        require_publisher(principal)


async def test_system_user_of_an_unknown_organisation_has_no_party(
    double: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """Above all it does not get the vendor's."""
    details = {**DETAILS, "systemuser_org": {**BAKERY, "ID": "0192:999999999"}}
    result = await exchange(double, platform_keys, authorization_details=[details])

    assert "urn:altinn:partyid" not in result
    assert UUID == result["urn:altinn:systemuser:uuid"]


@pytest.mark.parametrize(
    "details",
    [
        [{**DETAILS, "systemuser_id": [UUID.upper()]}],
        [{**DETAILS, "system_id": None, "locations": ["x"]}],
        [{name: value for name, value in DETAILS.items() if name != "system_id"}],
        msgspec.Raw(b" [ " + msgspec.json.encode(DETAILS).replace(b"urn:", b"urn\\u003a") + b" ] "),
    ],
    ids=ids,
)
async def test_unusual_details_of_a_system_user_are_accepted(
    double: ProviderDouble, platform_keys: SigningKeys, details: object
) -> None:
    """The uuid is in lower case, so that two spellings are one caller. Members that are not needed may be absent."""
    assert UUID == (await exchange(double, platform_keys, authorization_details=details))["urn:altinn:systemuser:uuid"]


@pytest.mark.parametrize(
    "details",
    [
        DETAILS,
        [DETAILS, DETAILS],
        [{"type": "another"}, DETAILS],
        [DETAILS, {"type": "another"}],
        [{**DETAILS, "type": "URN:altinn:SystemUser"}],
        [{**DETAILS, "type": ["urn:altinn:systemuser"]}],
        [{**DETAILS, "type": None}],
        [{**DETAILS, "systemuser_id": []}],
        [{**DETAILS, "systemuser_id": [UUID, "7b2e0a4c-5d3f-4c66-9a51-9a0000000012"]}],
        [{**DETAILS, "systemuser_id": UUID}],
        [{**DETAILS, "systemuser_id": [UUID.replace("-", "")]}],
        [{**DETAILS, "systemuser_id": [f"{UUID}\n"]}],
        [{**DETAILS, "systemuser_id": [f"{{{UUID}}}"]}],
        [{**DETAILS, "systemuser_id": ["00000000-0000-0000-0000-000000000000"]}],
        [{**DETAILS, "systemuser_id": ["a_unique_identifier_for_the_systemuser"]}],
        [{**DETAILS, "systemuser_id": [7]}],
        [{**DETAILS, "systemuser_org": None}],
        [{**DETAILS, "systemuser_org": "0192:310000011"}],
        [{**DETAILS, "systemuser_org": {**BAKERY, "ID": "9908:310000011"}}],
        [{**DETAILS, "systemuser_org": {**BAKERY, "ID": "310000011"}}],
        [{**DETAILS, "systemuser_org": {**BAKERY, "authority": "other"}}],
        [{**DETAILS, "systemuser_org": [BAKERY]}],
        [{name: value for name, value in DETAILS.items() if name != "systemuser_org"}],
        [{name: value for name, value in DETAILS.items() if name != "systemuser_id"}],
        [[DETAILS]],
        [None],
        [DETAILS, None],
        "urn:altinn:systemuser",
        msgspec.json.encode([DETAILS]).decode(),
        msgspec.Raw(b"[" * 90 + b"]" * 90),
        [{"type": "another"}],
        [{}],
        {},
        7,
        "",
        False,
    ],
    ids=ids,
)
async def test_other_authorization_details_are_rejected_by_name(
    double: ProviderDouble, platform_keys: SigningKeys, details: object
) -> None:
    """The token was issued for less than its organisation (RFC 9396 §9.1), which must not get its rights by it."""
    with pytest.raises(Unauthenticated, match="authorization_details must be one system user"):
        await exchange(double, platform_keys, authorization_details=details)


@pytest.mark.parametrize("details", [[], msgspec.Raw(b"null"), msgspec.Raw(b"[ ]")], ids=["list", "null", "blank"])
async def test_token_without_authorization_details_is_one_of_the_organisation(
    double: ProviderDouble, platform_keys: SigningKeys, details: object
) -> None:
    """An empty list restricts nothing."""
    assert "ttd" == (await exchange(double, platform_keys, authorization_details=details))["urn:altinn:org"]


@pytest.mark.parametrize("consumer", [None, "0192:310000022", {**BAKERY, "ID": "310000022"}], ids=str)
async def test_system_user_without_a_vendor_is_rejected(
    double: ProviderDouble, platform_keys: SigningKeys, consumer: object
) -> None:
    """Maskinporten names it in every token."""
    with pytest.raises(Unauthenticated, match="consumer"):
        await exchange(double, platform_keys, authorization_details=[DETAILS], consumer=consumer)


@pytest.mark.parametrize("name", ["urn:altinn:systemuser:uuid", "URN:Altinn:SystemUser:UUID"])
async def test_claim_of_a_system_user_in_an_external_token_is_dropped(
    double: ProviderDouble, platform_keys: SigningKeys, name: str
) -> None:
    """Otherwise an organisation could become any system user."""
    assert name not in await exchange(double, platform_keys, **{name: UUID})
