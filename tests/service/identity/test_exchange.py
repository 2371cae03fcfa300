"""The exchange: claims of the external token that a platform token keeps, gets and never contains."""

import asyncio
import re
from collections.abc import Set as AbstractSet

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.errors import Fault, InvalidRequest, Unauthenticated, Unavailable
from eventfeed.domain.ports import Organisation, Person
from eventfeed.identity.exchange import LIFETIME_SECONDS, Exchange
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.signatures import key_id, signed_payload
from eventfeed.identity.tokens import PlatformIssuer, verify_platform_token
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import NOW, SECOND, ProviderDouble, claims, rsa_key

ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
PERSON = "01838012345"
OURS = {
    "urn:altinn:orgNumber": "991825827",
    "urn:altinn:org": "ttd",
    "urn:altinn:partyid": 50002001,
    "urn:altinn:authenticatemethod": "maskinporten",
    "urn:altinn:authlevel": 3,
}
# External claims are any JSON, with numbers in the range that a decoder returns unchanged.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def exchange_of(double: ProviderDouble, keys: SigningKeys) -> Exchange:
    """Return an exchange of this provider's tokens, with the development population."""
    return Exchange(
        {"maskinporten": double.provider()},
        register=LocalRegister(population_file(None)),
        issuer=PlatformIssuer(ISSUER, keys, lambda: NOW),
        telemetry=Telemetry(),
    )


def platform_claims(token: str, keys: SigningKeys) -> dict[str, object]:
    """Return the claims of a platform token after its signature is verified."""
    key = keys.key(key_id(token))
    assert key is not None
    return msgspec.json.decode(signed_payload(token, key), type=dict[str, object])


async def exchange(double: ProviderDouble, keys: SigningKeys, **changes: object) -> dict[str, object]:
    """Exchange a Maskinporten token with these claims and return the claims of the platform token."""
    return platform_claims(await exchange_of(double, keys).exchange("maskinporten", double.token(**changes)), keys)


async def test_platform_token_has_the_external_claims_and_ours(
    double: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """Issuer, audience and times are those of the exchange."""
    others = {name: value for name, value in claims().items() if name not in {"iss", "aud"}}
    ours = {**OURS, "iss": ISSUER, "iat": SECOND, "nbf": SECOND, "exp": SECOND + 100}

    assert {**others, **ours} == await exchange(double, platform_keys)


async def test_platform_token_of_the_exchange_is_verified_with_its_scopes(
    double: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """The result identifies the organisation."""
    token = await exchange_of(double, platform_keys).exchange("maskinporten", double.token())
    principal = verify_platform_token(token, PlatformIssuer(ISSUER, platform_keys, lambda: NOW))

    assert ("ttd", "991825827", "50002001") == (principal.org, principal.organisation, principal.party)
    assert principal.has("altinn:events/ttd")


@pytest.mark.parametrize(
    ("number", "entry"),
    [
        ("991825827", {"urn:altinn:org": "ttd", "urn:altinn:partyid": 50002001}),
        ("310000011", {"urn:altinn:partyid": 51000011}),
        ("999999999", {}),
    ],
)
async def test_platform_token_has_the_register_entry_of_the_organisation(
    double: ProviderDouble, platform_keys: SigningKeys, number: str, entry: dict[str, object]
) -> None:
    """The entry has a short name and a party, a party only, or neither."""
    consumer = {"authority": "iso6523-actorid-upis", "ID": f"0192:{number}"}
    result = await exchange(double, platform_keys, consumer=consumer)

    assert number == result["urn:altinn:orgNumber"]
    assert entry == {name: result[name] for name in ("urn:altinn:org", "urn:altinn:partyid") if name in result}


@pytest.mark.parametrize(
    "consumer",
    [
        None,
        "0192:991825827",
        [],
        {},
        {"authority": "iso6523-actorid-upis"},
        {"ID": "0192:991825827"},
        {"authority": "iso6523-actorid-upis ", "ID": "0192:991825827"},
        {"authority": "ISO6523-ACTORID-UPIS", "ID": "0192:991825827"},
        {"authority": "iso6523-actorid-upis", "ID": "991825827"},
        {"authority": "iso6523-actorid-upis", "ID": "9908:991825827"},
        {"authority": "iso6523-actorid-upis", "ID": "0192:99182582"},
        {"authority": "iso6523-actorid-upis", "ID": "0192:9918258270"},
        {"authority": "iso6523-actorid-upis", "ID": "0192:991825827\n"},
        {"authority": "iso6523-actorid-upis", "ID": "0192:99182582\N{ARABIC-INDIC DIGIT SEVEN}"},
        {"authority": "iso6523-actorid-upis", "ID": "x0192:991825827"},
        {"authority": "iso6523-actorid-upis", "ID": 991825827},
        {"authority": "iso6523-actorid-upis", "ID": ["0192:991825827"]},
    ],
    ids=str,
)
async def test_consumer_that_is_not_an_organisation_is_rejected(
    double: ProviderDouble, platform_keys: SigningKeys, consumer: object
) -> None:
    """A consumer must have exactly this authority, this scheme and nine digits."""
    with pytest.raises(Unauthenticated, match="not an organisation"):
        await exchange(double, platform_keys, consumer=consumer)


@pytest.mark.parametrize(
    "name", ["urn:altinn:org", "URN:ALTINN:ORG", "Urn:Altinn:Userid", "urn:altinn:", "urn:altinn:x"]
)
async def test_external_claim_with_a_platform_name_is_dropped(
    double: ProviderDouble, platform_keys: SigningKeys, name: str
) -> None:
    """The name is compared without case."""
    result = await exchange(double, platform_keys, **{name: "skd"})

    assert OURS == {each: value for each, value in result.items() if re.match("urn:altinn:", each, re.IGNORECASE)}


async def test_external_short_name_is_dropped_for_an_organisation_without_one(
    double: ProviderDouble, platform_keys: SigningKeys
) -> None:
    """The exchange adds no claim that would overwrite it."""
    consumer = {"authority": "iso6523-actorid-upis", "ID": "0192:310000044"}
    extra_claims = {"urn:altinn:org": "ttd", "urn:altinn:userid": 20000001}
    result = await exchange(double, platform_keys, consumer=consumer, **extra_claims)

    assert result.keys().isdisjoint(extra_claims)


async def test_person_number_and_session_are_dropped(double: ProviderDouble, platform_keys: SigningKeys) -> None:
    """No claim contains the number."""
    result = await exchange(double, platform_keys, pid=PERSON, sid="session")

    assert result.keys().isdisjoint({"pid", "sid", "aud"})
    assert PERSON not in msgspec.json.encode(result).decode()


@pytest.mark.parametrize(
    ("external_seconds", "platform_seconds"),
    [(1, 1), (100, 100), (LIFETIME_SECONDS, LIFETIME_SECONDS), (100_000, LIFETIME_SECONDS), (1.9, 1)],
)
async def test_platform_token_expires_no_later_than_the_external_token(
    double: ProviderDouble, platform_keys: SigningKeys, external_seconds: float, platform_seconds: int
) -> None:
    """The platform token also has a maximum lifetime of its own."""
    assert SECOND + platform_seconds == (await exchange(double, platform_keys, exp=SECOND + external_seconds))["exp"]


async def test_unusual_claims_are_passed_on_unchanged(double: ProviderDouble, platform_keys: SigningKeys) -> None:
    """Very large and very small numbers are not parsed."""
    unusual_claims = {
        "big": msgspec.Raw(b"9" * 6_000),
        "tiny": msgspec.Raw(b"1e-999"),
        "deep": msgspec.Raw(b"[" * 90 + b"]" * 90),
    }
    token = await exchange_of(double, platform_keys).exchange("maskinporten", double.token(**unusual_claims))
    key = platform_keys.key(key_id(token))
    assert key is not None

    assert b'"big":' + b"9" * 6_000 in signed_payload(token, key)


@pytest.mark.parametrize("name", ["id-porten", "Maskinporten ", "maskin-porten", "", "../maskinporten"])
async def test_unknown_provider_is_rejected_with_its_parameter(
    double: ProviderDouble, platform_keys: SigningKeys, name: str
) -> None:
    """The known provider gets no request."""
    with pytest.raises(InvalidRequest) as refusal:
        await exchange_of(double, platform_keys).exchange(name, double.token())

    assert (Fault(parameter="provider", detail="must be one of: maskinporten"),) == refusal.value.faults
    assert [] == double.requests


@pytest.mark.parametrize("name", ["Maskinporten", "MASKINPORTEN", "maskinPorten"])
async def test_provider_is_found_without_its_case(
    double: ProviderDouble, platform_keys: SigningKeys, name: str
) -> None:
    """Clients of the platform write it in several ways. Metrics have one spelling."""
    telemetry, register = Telemetry(), LocalRegister(population_file(None))
    issuer = PlatformIssuer(ISSUER, platform_keys, lambda: NOW)
    service = Exchange({"maskinporten": double.provider()}, register=register, issuer=issuer, telemetry=telemetry)
    token = await service.exchange(name, double.token())

    assert "ttd" == platform_claims(token, platform_keys)["urn:altinn:org"]
    assert {("maskinporten", "given"): 1} == telemetry.counters["eventfeed.tokens"].series


async def test_platform_token_is_not_exchanged_again(double: ProviderDouble, platform_keys: SigningKeys) -> None:
    """Otherwise a caller could renew it without limit."""
    service = exchange_of(double, platform_keys)
    token = await service.exchange("maskinporten", double.token())

    with pytest.raises(Unauthenticated):
        await service.exchange("maskinporten", token)


async def test_exchange_is_counted_by_its_outcome(double: ProviderDouble, platform_keys: SigningKeys) -> None:
    """The series have the provider, and the problem's code after a failure. All unknown providers share one series."""
    telemetry, issuer = Telemetry(), PlatformIssuer(ISSUER, platform_keys, lambda: NOW)
    register = LocalRegister(population_file(None))
    service = Exchange({"maskinporten": double.provider()}, register=register, issuer=issuer, telemetry=telemetry)
    await service.exchange("maskinporten", double.token())
    with pytest.raises(Unauthenticated):
        await service.exchange("maskinporten", "garbage")
    for name in ("one", "other"):
        with pytest.raises(InvalidRequest):
            await service.exchange(name, double.token())

    assert {
        ("maskinporten", "given"): 1,
        ("maskinporten", "unauthenticated"): 1,
        ("unknown", "invalid-request"): 2,
    } == telemetry.counters["eventfeed.tokens"].series


class UnavailableRegister:
    """A register that never responds."""

    async def organisation(self, number: str) -> Organisation | None:
        """Raise `Unavailable`."""
        raise Unavailable(f"The register does not respond for {len(number)} digits.")

    async def person(self, number: str) -> Person | None:
        """Raise `Unavailable`."""
        raise Unavailable(f"The register does not respond for {len(number)} digits.")

    async def party(self, uuid: str) -> str | None:
        """Raise `Unavailable`."""
        raise Unavailable(f"The register does not respond for {len(uuid)} characters.")

    async def subunits(self, party: str | None) -> AbstractSet[str]:
        """Raise `Unavailable`."""
        raise Unavailable(f"The register does not respond for {party}.")

    async def owner(self, resource: str) -> str | None:
        """Raise `Unavailable`."""
        raise Unavailable(f"The register does not respond for {len(resource)} characters.")


async def test_failure_of_the_register_is_unavailable(double: ProviderDouble, platform_keys: SigningKeys) -> None:
    """The exchange issues no token without the claims of the register."""
    service = Exchange(
        {"maskinporten": double.provider()},
        register=UnavailableRegister(),
        issuer=PlatformIssuer(ISSUER, platform_keys, lambda: NOW),
        telemetry=Telemetry(),
    )

    with pytest.raises(Unavailable):
        await service.exchange("maskinporten", double.token())


def test_discovery_document_names_the_url_of_the_keys(double: ProviderDouble, platform_keys: SigningKeys) -> None:
    """The document has the members that OpenID Connect Discovery requires."""
    service = exchange_of(double, platform_keys)

    assert {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}.well-known/openid-configuration/jwks",
        "response_types_supported": ("token",),
        "subject_types_supported": ("public",),
        "id_token_signing_alg_values_supported": ("RS256",),
    } == msgspec.structs.asdict(service.discovery())
    assert platform_keys.jwks == service.jwks()


NAMES = st.text(max_size=8) | st.sampled_from(["urn:altinn:org", "URN:altinn:Org", "pid", "sid", "sub", "acr"])


@settings(max_examples=60, deadline=None)
@given(extra=st.dictionaries(NAMES, JSON, max_size=6), lifetime=st.integers(1, 10_000))
def test_every_other_claim_is_passed_on_unchanged(extra: dict[str, object], lifetime: int) -> None:
    """The exchange sets its own claims, drops some external claims, and keeps the others."""

    async def exchange_token() -> dict[str, object]:
        token = ProviderDouble().token(**(external_claims | {"exp": SECOND + lifetime}))
        return platform_claims(await exchange_of(ProviderDouble(), keys).exchange("maskinporten", token), keys)

    reserved_names = {*claims(), "nbf", "nonce", "at_hash", "c_hash"}
    external_claims = {name: value for name, value in extra.items() if name not in reserved_names and value is not None}
    keys = SigningKeys([rsa_key("platform")])
    platform = asyncio.run(exchange_token())
    other_claims = {
        name: value
        for name, value in {**claims(), **external_claims}.items()
        if name not in {"iss", "aud", "sid", "pid"} and not name.lower().startswith("urn:altinn:")
    }
    times = {"iat": SECOND, "nbf": SECOND, "exp": SECOND + min(lifetime, LIFETIME_SECONDS)}

    assert {**other_claims, **OURS, **times, "iss": ISSUER} == platform
