"""Tokens: issuer, audience and expiry of external and platform tokens."""

from collections.abc import Callable

import jwt
import msgspec
import pytest

from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.principal import Method, Principal
from eventfeed.identity.keys import SigningKeys
from eventfeed.identity.tokens import LEEWAY_SECONDS, PlatformIssuer, verify_external_token, verify_platform_token
from tests.service.identity.provider_double import AUDIENCE, ISSUER, NOW, SECOND, ProviderDouble, claims, rsa_key

PLATFORM_ISSUER = "https://eventfeed.example.no/authentication/api/v1/openid/"
PERSON = "01838012345"


async def test_valid_external_token_is_verified(double: ProviderDouble) -> None:
    """The result has the expiry and all claims, unchanged."""
    external = await verify_external_token(double.token(), double.provider(), now=NOW)

    assert SECOND + 100 == external.expires
    assert claims() == {name: msgspec.json.decode(value) for name, value in external.claims.items()}


@pytest.mark.parametrize(
    ("changes", "audience"),
    [
        ({"aud": AUDIENCE}, AUDIENCE),
        ({"aud": [AUDIENCE, "https://other.example.no"]}, AUDIENCE),
        ({"aud": "unspecified"}, "5f6d7e8a"),
        ({"aud": None}, "5f6d7e8a"),
        ({"client_id": None}, AUDIENCE),
    ],
    ids=str,
)
async def test_audience_or_client_id_of_a_token_is_accepted(
    double: ProviderDouble, changes: dict[str, object], audience: str
) -> None:
    """One of the two must be an accepted name."""
    assert (await verify_external_token(double.token(**changes), double.provider(audience), now=NOW)).expires


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
        ({"aud": "https://other.example.no"}, "another audience"),
        ({"aud": ["https://other.example.no"]}, "another audience"),
        ({"aud": f"{AUDIENCE}/"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": {"name": AUDIENCE}}, "missing"),
        ({"aud": [1]}, "missing"),
        ({"scope": ["altinn:events/ttd"]}, "missing"),
        pytest.param({"nested": msgspec.Raw(b"[" * 5_000 + b"]" * 5_000)}, "missing", id="deep"),
    ],
    ids=str,
)
async def test_invalid_external_token_is_rejected(
    double: ProviderDouble, changes: dict[str, object], reason: str
) -> None:
    """The token has another issuer or audience, is too old or too new, or cannot be read."""
    with pytest.raises(Unauthenticated, match=reason):
        await verify_external_token(double.token(**changes), double.provider(), now=NOW)


@pytest.mark.parametrize("ahead", [0, LEEWAY_SECONDS])
async def test_new_token_is_accepted_by_a_slow_clock(double: ProviderDouble, ahead: int) -> None:
    """The leeway covers a clock that is a few seconds behind."""
    assert (await verify_external_token(double.token(nbf=SECOND + ahead), double.provider(), now=NOW)).expires


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
async def test_id_token_is_rejected(double: ProviderDouble, changes: dict[str, object]) -> None:
    """This also holds for an id token without a nonce, whose audience is an accepted client."""
    with pytest.raises(Unauthenticated, match="id token"):
        await verify_external_token(double.token(**changes), double.provider(), now=NOW)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "Bearer x", "\ud800", "é.é.é", "x" * 100_000])
async def test_malformed_token_is_rejected_without_a_request(double: ProviderDouble, text: str) -> None:
    """The provider gets no request for its keys."""
    with pytest.raises(Unauthenticated):
        await verify_external_token(text, double.provider(), now=NOW)
    assert [] == double.requests


async def test_unsigned_token_is_rejected_without_a_request(double: ProviderDouble) -> None:
    """The token has `alg: none`, in any spelling, with or without a signature."""
    valid_token = double.token()
    for algorithm in ("none", "None", "NONE", "nOnE"):
        header = msgspec.json.encode({"alg": algorithm, "kid": "key-1", "typ": "JWT"})
        _, payload, signature = valid_token.split(".")
        for end in ("", signature):
            with pytest.raises(Unauthenticated, match="not accepted"):
                await verify_external_token(
                    f"{jwt.utils.base64url_encode(header).decode()}.{payload}.{end}", double.provider(), now=NOW
                )

    assert [] == double.requests


async def test_signature_of_another_key_is_rejected(double: ProviderDouble) -> None:
    """The token has the key id of the forger or of the provider."""
    forger = ProviderDouble()
    forger.keys = {"key-1": rsa_key("forger"), "own": rsa_key("forger")}
    for kid in ("key-1", "own"):
        with pytest.raises(Unauthenticated):
            await verify_external_token(forger.sign(claims(), kid=kid), double.provider(), now=NOW)


@pytest.mark.parametrize("changes", [{"iss": "https://evil.example.com/"}, {"exp": SECOND - 1}])
async def test_foreign_or_old_token_with_an_unknown_key_is_rejected_without_the_keys(
    double: ProviderDouble, changes: dict[str, object]
) -> None:
    """The answer is 401 also while keys cannot be read: another key would not help."""
    double.is_down = True
    forger = ProviderDouble()
    with pytest.raises(Unauthenticated):
        await verify_external_token(forger.token(**changes), double.provider(), now=NOW)

    assert [] == double.requests


async def test_key_in_the_header_of_a_token_is_ignored(double: ProviderDouble) -> None:
    """`jwk`, `jku` and `x5u` have no effect (RFC 8725 §3.10)."""
    headers = {"kid": "own", "jku": "https://evil.example.com/jwk", "x5u": "https://evil.example.com/cert"}
    token = jwt.PyJWS().encode(msgspec.json.encode(claims()), rsa_key("forger"), "RS256", headers=headers)

    with pytest.raises(Unauthenticated):
        await verify_external_token(token, double.provider(), now=NOW)
    assert not [url for url in double.requests if "evil" in url]


async def test_failure_of_the_provider_is_unavailable(double: ProviderDouble) -> None:
    """A failure of the provider does not make a token invalid."""
    double.is_down = True

    with pytest.raises(Unavailable):
        await verify_external_token(double.token(), double.provider(), now=NOW)


async def test_rejection_repeats_nothing_of_the_token(double: ProviderDouble) -> None:
    """The message has neither a claim, nor a person number, nor the token."""
    secret = "s3cret"
    provider = double.provider()
    for changes in ({"iss": secret}, {"aud": secret}, {"exp": secret}, {"scope": [secret]}, {"nonce": secret}):
        token = double.token(pid=PERSON, **changes)
        with pytest.raises(Unauthenticated) as refusal:
            await verify_external_token(token, provider, now=NOW)

        assert [] == [each for each in (secret, PERSON, token) if each in str(refusal.value)]
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


class Platform:
    """An issuer of platform tokens."""

    def __init__(self, keys: SigningKeys) -> None:
        self.keys, self.issuer = keys, PlatformIssuer(PLATFORM_ISSUER, keys, lambda: NOW)

    def verify(self, token: str) -> Principal:
        """Return the caller of a token."""
        return verify_platform_token(token, self.issuer)

    def token(self, **changes: object) -> str:
        """Return a platform token, without claims that are None."""
        defaults = {
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
        return self.keys.sign({name: value for name, value in {**defaults, **changes}.items() if value is not None})


@pytest.fixture
def platform(platform_keys: SigningKeys) -> Platform:
    """A platform with one key."""
    return Platform(platform_keys)


def test_platform_token_identifies_the_caller(platform: Platform) -> None:
    """The caller has method, level, scopes, numbers and names."""
    principal = platform.verify(platform.token())

    assert (Method.MASKINPORTEN, 3, "ttd", "991825827", "50002001", SECOND + 60) == (
        principal.method,
        principal.level,
        principal.org,
        principal.organisation,
        principal.party,
        principal.expires,
    )
    assert {"altinn:events/ttd", "altinn:events.publish"} == principal.scopes


def test_organisation_without_a_register_entry_is_a_caller(platform: Platform) -> None:
    """The caller has an organisation number only."""
    principal = platform.verify(platform.token(**{"urn:altinn:org": None, "urn:altinn:partyid": None}))

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
def test_scopes_are_split_on_spaces_only(platform: Platform, scope: str | None, scopes: set[str]) -> None:
    """RFC 6749 §3.3 defines the separator."""
    assert scopes == platform.verify(platform.token(scope=scope)).scopes


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
def test_invalid_platform_token_is_rejected(platform: Platform, changes: dict[str, object], reason: str) -> None:
    """The token is rejected although the service's own key signed it."""
    with pytest.raises(Unauthenticated, match=reason):
        platform.verify(platform.token(**changes))


def forged_claims(token: str) -> str:
    """Return a token with the same signature and other claims."""
    header, payload, signature = token.split(".")
    claims_bytes = jwt.utils.base64url_decode(payload).replace(b'"ttd"', b'"skd"')
    return f"{header}.{jwt.utils.base64url_encode(claims_bytes).decode()}.{signature}"


def forged_key(token: str) -> str:
    """Return a token with the same claims and the service's key id, signed by another key."""
    payload = jwt.utils.base64url_decode(token.split(".")[1])
    return jwt.PyJWS().encode(payload, rsa_key("forger"), "RS256", headers={"kid": key_of(token)})


def forged_algorithm(token: str) -> str:
    """Return a token with the same claims, signed by the service's key with another algorithm."""
    payload = jwt.utils.base64url_decode(token.split(".")[1])
    return jwt.PyJWS().encode(payload, rsa_key("platform"), "RS512", headers={"kid": key_of(token)})


def key_of(token: str) -> str:
    """Return the key id of a token."""
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.parametrize("forge", [forged_claims, forged_key, forged_algorithm])
def test_forgery_of_a_cached_platform_token_is_rejected(platform: Platform, forge: Callable[[str], str]) -> None:
    """The cache is keyed by the whole token."""
    token = platform.token()
    platform.verify(token)

    with pytest.raises(Unauthenticated, match="signature is invalid"):
        platform.verify(forge(token))


def test_external_token_is_rejected_as_a_platform_token(platform: Platform, double: ProviderDouble) -> None:
    """The client must exchange it first."""
    with pytest.raises(Unauthenticated, match="exchange it first"):
        platform.verify(double.token(iss=PLATFORM_ISSUER))


@pytest.mark.parametrize("text", ["", "a.b.c", "\ud800", "x" * 100_000])
def test_malformed_text_is_rejected_as_a_platform_token(platform: Platform, text: str) -> None:
    """No text causes another exception."""
    with pytest.raises(Unauthenticated):
        platform.verify(text)
