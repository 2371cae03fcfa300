"""The exchange: what a platform token keeps of its origin, what it adds, and what never passes."""

import asyncio
import re

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
from eventfeed.identity.tokens import PlatformTokens
from tests.service.identity.providing import NOW, SECOND, Double, claims, rsa_key

ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
PERSON = "01838012345"
OURS = {
    "urn:altinn:orgNumber": "991825827",
    "urn:altinn:org": "ttd",
    "urn:altinn:partyid": 50002001,
    "urn:altinn:authenticatemethod": "maskinporten",
    "urn:altinn:authlevel": 3,
}
# Inbound claims are JSON of any kind; numbers stay in the range that a decoder gives back unchanged.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def exchange_of(double: Double, keys: SigningKeys) -> Exchange:
    """An exchange that knows this provider and the development population."""
    return Exchange(
        {"maskinporten": double.provider()},
        register=LocalRegister(population_file(None)),
        keys=keys,
        issuer=ISSUER,
        clock=lambda: NOW,
    )


def said(token: str, keys: SigningKeys) -> dict[str, object]:
    """The claims of a platform token, its signature verified."""
    key = keys.key(key_id(token))
    assert key is not None
    return msgspec.json.decode(signed_payload(token, key), type=dict[str, object])


async def exchanged(double: Double, keys: SigningKeys, **changes: object) -> dict[str, object]:
    """What the platform token says for a Maskinporten token of these claims."""
    return said(await exchange_of(double, keys).exchange("maskinporten", double.token(**changes)), keys)


async def test_the_platform_token_tells_who_is_asking(double: Double, platform_keys: SigningKeys) -> None:
    """The original claims but for issuer and audience, ours, and our times."""
    kept = {name: value for name, value in claims().items() if name not in {"iss", "aud"}}
    ours = {**OURS, "iss": ISSUER, "iat": SECOND, "nbf": SECOND, "exp": SECOND + 100}

    assert {**kept, **ours} == await exchanged(double, platform_keys)


async def test_the_platform_knows_its_own_token(double: Double, platform_keys: SigningKeys) -> None:
    """What the exchange gives opens what needs it, scopes and all."""
    token = await exchange_of(double, platform_keys).exchange("maskinporten", double.token())
    principal = PlatformTokens(platform_keys, issuer=ISSUER, clock=lambda: NOW).verify(token)

    assert ("ttd", "991825827", "50002001") == (principal.org, principal.organisation, principal.party)
    assert principal.has("altinn:events/ttd")


@pytest.mark.parametrize(
    ("number", "known"),
    [
        ("991825827", {"urn:altinn:org": "ttd", "urn:altinn:partyid": 50002001}),
        ("310000011", {"urn:altinn:partyid": 51000011}),
        ("999999999", {}),
    ],
)
async def test_it_says_what_the_register_knows(
    double: Double, platform_keys: SigningKeys, number: str, known: dict[str, object]
) -> None:
    """A short name, a party, or neither."""
    consumer = {"authority": "iso6523-actorid-upis", "ID": f"0192:{number}"}
    found = await exchanged(double, platform_keys, consumer=consumer)

    assert number == found["urn:altinn:orgNumber"]
    assert known == {name: found[name] for name in ("urn:altinn:org", "urn:altinn:partyid") if name in found}


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
async def test_a_consumer_that_is_no_organisation_is_refused(
    double: Double, platform_keys: SigningKeys, consumer: object
) -> None:
    """Exactly that authority, that scheme, nine digits."""
    with pytest.raises(Unauthenticated, match="no organisation"):
        await exchanged(double, platform_keys, consumer=consumer)


@pytest.mark.parametrize(
    "name", ["urn:altinn:org", "URN:ALTINN:ORG", "Urn:Altinn:Userid", "urn:altinn:", "urn:altinn:x"]
)
async def test_a_smuggled_claim_does_not_pass(double: Double, platform_keys: SigningKeys, name: str) -> None:
    """Whatever pretends to be the platform's is dropped, in any case."""
    found = await exchanged(double, platform_keys, **{name: "skd"})

    assert OURS == {each: value for each, value in found.items() if re.match("urn:altinn:", each, re.IGNORECASE)}


async def test_an_organisation_without_a_short_name_gets_none_by_smuggling(
    double: Double, platform_keys: SigningKeys
) -> None:
    """Also where ours would not have overwritten it."""
    consumer = {"authority": "iso6523-actorid-upis", "ID": "0192:310000044"}
    smuggled = {"urn:altinn:org": "ttd", "urn:altinn:userid": 20000001}
    found = await exchanged(double, platform_keys, consumer=consumer, **smuggled)

    assert found.keys().isdisjoint(smuggled)


async def test_a_person_number_goes_no_further(double: Double, platform_keys: SigningKeys) -> None:
    """Nor the provider's session."""
    found = await exchanged(double, platform_keys, pid=PERSON, sid="session")

    assert found.keys().isdisjoint({"pid", "sid", "aud"})
    assert PERSON not in msgspec.json.encode(found).decode()


@pytest.mark.parametrize(
    ("origin", "platform"),
    [(1, 1), (100, 100), (LIFETIME_SECONDS, LIFETIME_SECONDS), (100_000, LIFETIME_SECONDS), (1.9, 1)],
)
async def test_it_lives_no_longer_than_its_origin(
    double: Double, platform_keys: SigningKeys, origin: float, platform: int
) -> None:
    """Nor longer than our own tokens may."""
    assert SECOND + platform == (await exchanged(double, platform_keys, exp=SECOND + origin))["exp"]


async def test_odd_claims_are_passed_on_as_they_are(double: Double, platform_keys: SigningKeys) -> None:
    """Numbers beyond any machine's are not read, so they break nothing."""
    huge = {
        "big": msgspec.Raw(b"9" * 6_000),
        "tiny": msgspec.Raw(b"1e-999"),
        "deep": msgspec.Raw(b"[" * 90 + b"]" * 90),
    }
    token = await exchange_of(double, platform_keys).exchange("maskinporten", double.token(**huge))
    key = platform_keys.key(key_id(token))
    assert key is not None

    assert b'"big":' + b"9" * 6_000 in signed_payload(token, key)


@pytest.mark.parametrize("name", ["id-porten", "Maskinporten", "", "../maskinporten"])
async def test_an_unknown_provider_is_named_as_the_fault(double: Double, platform_keys: SigningKeys, name: str) -> None:
    """400, whatever the token; the provider that is known is not asked."""
    with pytest.raises(InvalidRequest) as refusal:
        await exchange_of(double, platform_keys).exchange(name, double.token())

    assert (Fault(parameter="provider", detail="must be one of: maskinporten"),) == refusal.value.faults
    assert [] == double.asked


async def test_a_platform_token_is_not_exchanged_again(double: Double, platform_keys: SigningKeys) -> None:
    """Or it would live for ever."""
    exchange = exchange_of(double, platform_keys)
    token = await exchange.exchange("maskinporten", double.token())

    with pytest.raises(Unauthenticated):
        await exchange.exchange("maskinporten", token)


class SilentRegister:
    """A register that does not answer."""

    async def organisation(self, number: str) -> Organisation | None:
        """Never."""
        raise Unavailable(f"The register does not answer for {len(number)} digits.")

    async def person(self, number: str) -> Person | None:
        """Never."""
        raise Unavailable(f"The register does not answer for {len(number)} digits.")


async def test_a_silent_register_is_unavailable(double: Double, platform_keys: SigningKeys) -> None:
    """No token is better than one that says too little."""
    exchange = Exchange(
        {"maskinporten": double.provider()},
        register=SilentRegister(),
        keys=platform_keys,
        issuer=ISSUER,
        clock=lambda: NOW,
    )

    with pytest.raises(Unavailable):
        await exchange.exchange("maskinporten", double.token())


def test_discovery_leads_to_the_keys(double: Double, platform_keys: SigningKeys) -> None:
    """With what OpenID Connect Discovery asks for."""
    exchange = exchange_of(double, platform_keys)

    assert {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}.well-known/openid-configuration/jwks",
        "response_types_supported": ("token",),
        "subject_types_supported": ("public",),
        "id_token_signing_alg_values_supported": ("RS256",),
    } == msgspec.structs.asdict(exchange.discovery())
    assert platform_keys.jwks == exchange.jwks()


NAMES = st.text(max_size=8) | st.sampled_from(["urn:altinn:org", "URN:altinn:Org", "pid", "sid", "sub", "acr"])


@settings(max_examples=60, deadline=None)
@given(extra=st.dictionaries(NAMES, JSON, max_size=6), lifetime=st.integers(1, 10_000))
def test_every_other_claim_passes_unchanged(extra: dict[str, object], lifetime: int) -> None:
    """Whatever a provider says: ours are ours, what must not pass does not, and the rest is as it was."""

    async def found() -> dict[str, object]:
        token = Double().token(**(origin | {"exp": SECOND + lifetime}))
        return said(await exchange_of(Double(), keys).exchange("maskinporten", token), keys)

    reserved = {*claims(), "nbf", "nonce", "at_hash", "c_hash"}
    origin = {name: value for name, value in extra.items() if name not in reserved and value is not None}
    keys = SigningKeys([rsa_key("platform")])
    platform = asyncio.run(found())
    passed = {
        name: value
        for name, value in {**claims(), **origin}.items()
        if name not in {"iss", "aud", "sid", "pid"} and not name.lower().startswith("urn:altinn:")
    }
    times = {"iat": SECOND, "nbf": SECOND, "exp": SECOND + min(lifetime, LIFETIME_SECONDS)}

    assert {**passed, **OURS, **times, "iss": ISSUER} == platform
