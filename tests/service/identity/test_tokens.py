"""Tokens: whose they are, for whom, until when; and platform tokens, remembered."""

from collections.abc import Callable

import jwt
import msgspec
import pytest

from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.principal import Method
from eventfeed.identity import tokens as module
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import LEEWAY_SECONDS, PlatformTokens, verified
from tests.service.identity.providing import AUDIENCE, ISSUER, NOW, SECOND, Double, claims, rsa_key

PLATFORM_ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
PERSON = "01838012345"


async def test_a_good_token_is_verified(double: Double) -> None:
    """All it claims is there, each claim as it was sent, and its last second."""
    found = await verified(double.token(), double.provider(), now=NOW)

    assert SECOND + 100 == found.expires
    assert claims() == {name: msgspec.json.decode(value) for name, value in found.claims.items()}


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"aud": AUDIENCE}, AUDIENCE),
        ({"aud": [AUDIENCE, "https://other.example.no"]}, AUDIENCE),
        ({"aud": "unspecified"}, "5f6d7e8a"),
        ({"aud": None}, "5f6d7e8a"),
        ({"client_id": None}, AUDIENCE),
    ],
    ids=str,
)
async def test_a_token_is_for_us_by_audience_or_client(
    double: Double, changes: dict[str, object], accepted: str
) -> None:
    """One of the accepted names must be in it."""
    assert (await verified(double.token(**changes), double.provider(accepted), now=NOW)).expires


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example.com/"}, "another issuer"),
        ({"iss": ISSUER.rstrip("/")}, "another issuer"),
        ({"iss": PLATFORM_ISSUER}, "another issuer"),
        ({"iss": None}, "missing"),
        ({"iss": [ISSUER]}, "missing"),
        ({"exp": SECOND}, "expired"),
        ({"exp": SECOND - 1}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": None}, "missing"),
        ({"exp": -1}, "missing"),
        ({"exp": str(SECOND + 100)}, "missing"),
        ({"exp": True}, "missing"),
        ({"exp": (SECOND + 100) * 1_000}, "missing"),
        pytest.param({"exp": msgspec.Raw(b"9" * 400)}, "missing", id="exp of 400 digits"),
        pytest.param({"exp": msgspec.Raw(b"1e999")}, "missing", id="exp without end"),
        ({"nbf": SECOND + LEEWAY_SECONDS + 1}, "not valid yet"),
        ({"nbf": "now"}, "missing"),
        ({"aud": "https://other.example.no"}, "someone else"),
        ({"aud": ["https://other.example.no"]}, "someone else"),
        ({"aud": f"{AUDIENCE}/"}, "someone else"),
        ({"aud": None}, "someone else"),
        ({"aud": {"name": AUDIENCE}}, "missing"),
        ({"aud": [1]}, "missing"),
        ({"scope": ["altinn:events/ttd"]}, "missing"),
        pytest.param({"nested": msgspec.Raw(b"[" * 5_000 + b"]" * 5_000)}, "missing", id="deep"),
    ],
    ids=str,
)
async def test_a_token_that_is_not_good_is_refused(double: Double, changes: dict[str, object], reason: str) -> None:
    """Of another, too late, too early, for someone else, or unreadable."""
    with pytest.raises(Unauthenticated, match=reason):
        await verified(double.token(**changes), double.provider(), now=NOW)


@pytest.mark.parametrize("ahead", [0, LEEWAY_SECONDS])
async def test_a_clock_a_little_ahead_is_no_reason(double: Double, ahead: int) -> None:
    """A token just issued is good on a machine whose clock is behind."""
    assert (await verified(double.token(nbf=SECOND + ahead), double.provider(), now=NOW)).expires


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "n"},
        {"at_hash": "h"},
        {"c_hash": "h"},
        {"nonce": None, "scope": None, "client_id": None},
    ],
    ids=str,
)
async def test_an_id_token_is_refused(double: Double, changes: dict[str, object]) -> None:
    """Also a bare one, whose audience is a client that we accept."""
    with pytest.raises(Unauthenticated, match="id token"):
        await verified(double.token(**changes), double.provider(), now=NOW)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "Bearer x", "\ud800", "é.é.é", "x" * 100_000])
async def test_garbage_is_refused_without_asking_anyone(double: Double, text: str) -> None:
    """The provider is not troubled by it."""
    with pytest.raises(Unauthenticated):
        await verified(text, double.provider(), now=NOW)
    assert [] == double.asked


async def test_no_signature_is_refused_without_asking_anyone(double: Double) -> None:
    """`alg: none`, in any spelling, with or without a signature beside it."""
    good = double.token()
    for algorithm in ("none", "None", "NONE", "nOnE"):
        header = msgspec.json.encode({"alg": algorithm, "kid": "key-1", "typ": "JWT"})
        _, payload, seal = good.split(".")
        for end in ("", seal):
            with pytest.raises(Unauthenticated, match="accepted way"):
                await verified(
                    f"{jwt.utils.base64url_encode(header).decode()}.{payload}.{end}", double.provider(), now=NOW
                )

    assert [] == double.asked


async def test_a_key_that_is_not_the_providers_is_refused(double: Double) -> None:
    """Neither under an id of its own nor under one that the provider uses."""
    forger = Double()
    forger.keys = {"key-1": rsa_key("forger"), "own": rsa_key("forger")}
    provider = double.provider()
    for kid in ("key-1", "own"):
        with pytest.raises(Unauthenticated):
            await verified(forger.signed(claims(), kid=kid), provider, now=NOW)


async def test_a_key_in_the_tokens_own_header_is_not_used(double: Double) -> None:
    """`jwk`, `jku` and `x5u` say nothing here (RFC 8725 §3.10)."""
    headers = {"kid": "own", "jku": "https://evil.example.com/jwk", "x5u": "https://evil.example.com/cert"}
    token = jwt.PyJWS().encode(msgspec.json.encode(claims()), rsa_key("forger"), "RS256", headers=headers)

    with pytest.raises(Unauthenticated):
        await verified(token, double.provider(), now=NOW)
    assert not [url for url in double.asked if "evil" in url]


async def test_a_silent_provider_is_unavailable(double: Double) -> None:
    """Nothing is said of the token."""
    double.silent = True

    with pytest.raises(Unavailable):
        await verified(double.token(), double.provider(), now=NOW)


async def test_a_refusal_repeats_nothing_of_the_token(double: Double) -> None:
    """Neither a claim nor a person number nor the token itself is in the reason."""
    secret = "s3cret"
    provider = double.provider()
    for changes in ({"iss": secret}, {"aud": secret}, {"exp": secret}, {"scope": [secret]}, {"nonce": secret}):
        token = double.token(pid=PERSON, **changes)
        with pytest.raises(Unauthenticated) as refusal:
            await verified(token, provider, now=NOW)

        assert [] == [each for each in (secret, PERSON, token) if each in str(refusal.value)]
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


class Platform:
    """Platform tokens, and a clock that is set by hand."""

    def __init__(self, keys: SigningKeys) -> None:
        self.now, self.keys = NOW, keys
        self.tokens = PlatformTokens(keys, issuer=PLATFORM_ISSUER, clock=lambda: self.now)

    def token(self, **changes: object) -> str:
        """A platform token; a claim that is None is left out."""
        usual = {
            "iss": PLATFORM_ISSUER,
            "iat": SECOND,
            "nbf": SECOND,
            "exp": SECOND + 60,
            "scope": "altinn:events/ttd altinn:events.publish",
            "urn:altinn:orgNumber": "991825827",
            "urn:altinn:org": "ttd",
            "urn:altinn:partyid": 50002001,
            "urn:altinn:authenticatemethod": "maskinporten",
            "urn:altinn:authlevel": 3,
        }
        return self.keys.sign({name: value for name, value in {**usual, **changes}.items() if value is not None})


@pytest.fixture
def platform(platform_keys: SigningKeys) -> Platform:
    """A platform with one key."""
    return Platform(platform_keys)


def test_a_platform_token_says_who_is_asking(platform: Platform) -> None:
    """Method, level, whole scopes, numbers and names."""
    principal = platform.tokens.verify(platform.token())

    assert (Method.MASKINPORTEN, 3, "ttd", "991825827", "50002001", SECOND + 60) == (
        principal.method,
        principal.level,
        principal.org,
        principal.organisation,
        principal.party,
        principal.expires,
    )
    assert {"altinn:events/ttd", "altinn:events.publish"} == principal.scopes


def test_an_organisation_that_the_register_does_not_know_is_one_still(platform: Platform) -> None:
    """It has a number and no more."""
    principal = platform.tokens.verify(platform.token(**{"urn:altinn:org": None, "urn:altinn:partyid": None}))

    assert ("991825827", None, None) == (principal.organisation, principal.org, principal.party)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, set()),
        ("", set()),
        ("  a   b ", {"a", "b"}),
        ("a\taltinn:events.publish", {"a\taltinn:events.publish"}),
        ("altinn:events/ttdx", {"altinn:events/ttdx"}),
    ],
)
def test_scopes_are_split_on_spaces_alone(platform: Platform, scope: str | None, scopes: set[str]) -> None:
    """And kept whole (RFC 6749 §3.3)."""
    assert scopes == platform.tokens.verify(platform.token(scope=scope)).scopes


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": ISSUER}, "another issuer"),
        ({"iss": PLATFORM_ISSUER.rstrip("/")}, "another issuer"),
        ({"exp": SECOND}, "expired"),
        ({"exp": None}, "missing"),
        ({"nbf": SECOND + LEEWAY_SECONDS + 1}, "not valid yet"),
        ({"urn:altinn:authenticatemethod": None}, "missing"),
        ({"urn:altinn:authenticatemethod": "selfidentified"}, "missing"),
        ({"urn:altinn:authlevel": None}, "missing"),
        ({"urn:altinn:authlevel": "3"}, "missing"),
        ({"urn:altinn:org": 1}, "missing"),
        ({"scope": ["altinn:events.publish"]}, "missing"),
    ],
    ids=str,
)
def test_a_platform_token_that_is_not_good_is_refused(
    platform: Platform, changes: dict[str, object], reason: str
) -> None:
    """Though we signed it."""
    with pytest.raises(Unauthenticated, match=reason):
        platform.tokens.verify(platform.token(**changes))


def forged_claims(token: str) -> str:
    """The same signature over other claims."""
    header, payload, seal = token.split(".")
    said = jwt.utils.base64url_decode(payload).replace(b'"ttd"', b'"skd"')
    return f"{header}.{jwt.utils.base64url_encode(said).decode()}.{seal}"


def forged_key(token: str) -> str:
    """The same claims under our key's id, signed by another key."""
    payload = jwt.utils.base64url_decode(token.split(".")[1])
    return jwt.PyJWS().encode(payload, rsa_key("forger"), "RS256", headers={"kid": key_of(token)})


def forged_algorithm(token: str) -> str:
    """The same claims signed by our key in a way that it is not for."""
    payload = jwt.utils.base64url_decode(token.split(".")[1])
    return jwt.PyJWS().encode(payload, rsa_key("platform"), "RS512", headers={"kid": key_of(token)})


def key_of(token: str) -> str:
    """The key a token names."""
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.parametrize("forge", [forged_claims, forged_key, forged_algorithm])
def test_a_forged_platform_token_is_refused_though_the_true_one_is_remembered(
    platform: Platform, forge: Callable[[str], str]
) -> None:
    """What is remembered is the whole token."""
    token = platform.token()
    platform.tokens.verify(token)

    with pytest.raises(Unauthenticated, match="signature is wrong"):
        platform.tokens.verify(forge(token))


def test_an_external_token_is_no_platform_token(platform: Platform, double: Double) -> None:
    """However good it is, it must be exchanged."""
    with pytest.raises(Unauthenticated, match="exchange it first"):
        platform.tokens.verify(double.token(iss=PLATFORM_ISSUER))


@pytest.mark.parametrize("text", ["", "a.b.c", "\ud800", "x" * 100_000])
def test_garbage_is_no_platform_token(platform: Platform, text: str) -> None:
    """And is not remembered either."""
    with pytest.raises(Unauthenticated):
        platform.tokens.verify(text)
    assert {} == platform.tokens._remembered


def test_expired_tokens_take_no_memory(platform: Platform) -> None:
    """However many come after one another, those that may still come again are kept."""
    for minute in range(10):
        platform.now = (SECOND + 60 * minute) * 1_000_000
        platform.tokens.verify(platform.token(exp=SECOND + 60 * minute + 90))

    assert 2 == len(platform.tokens._remembered)


def test_a_token_seen_before_is_remembered_until_its_last_second(platform: Platform) -> None:
    """The very same answer, and then none."""
    token = platform.token()
    first = platform.tokens.verify(token)
    platform.now = (SECOND + 60) * 1_000_000 - 1
    again = platform.tokens.verify(token)
    platform.now += 1

    assert first is again
    with pytest.raises(Unauthenticated, match="expired"):
        platform.tokens.verify(token)


def test_what_is_remembered_is_bounded(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes first, and is simply verified again when it comes back."""
    monkeypatch.setattr(module, "REMEMBERED_MAX", 3)
    tokens = [platform.token(jti=str(number)) for number in range(5)]
    principals = [platform.tokens.verify(token) for token in tokens]

    assert 3 == len(platform.tokens._remembered)
    assert principals[4] is platform.tokens.verify(tokens[4])
    assert principals[2] is platform.tokens.verify(tokens[2])
    assert principals[0] is not platform.tokens.verify(tokens[0])
    assert 3 == len(platform.tokens._remembered)
