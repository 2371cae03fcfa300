"""Tokens of apps: signature, times, issuer and app."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.domain.event import App
from eventfeed.identity import app_tokens as module
from eventfeed.identity import keys as cache
from eventfeed.identity.app_keys import KeyDirectory
from eventfeed.identity.app_tokens import AppTokens
from tests.service.identity.provider_double import PrivateKey, curve_key, jwk_of, rsa_key
from tests.support.altinn_app import AltinnApp, Certificate

NOW = int(time.time())
CERTIFICATE = Certificate.make("ttd")
APP = AltinnApp("ttd", "bolig", CERTIFICATE)
# Values of claims: near valid ones, and any JSON.
JSON = st.recursive(
    st.sampled_from(["ttd", "skd", "bolig", "ttd/bolig", "..", NOW, NOW + 300, 1e300, -1, None])
    | st.text()
    | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.fixture
def tokens(tmp_path: Path) -> AppTokens:
    """The verification with the certificate of `ttd`."""
    (tmp_path / "ttd.pem").write_bytes(CERTIFICATE.pem)
    return AppTokens(KeyDirectory(tmp_path), clock=lambda: NOW * 1_000_000_000)


def signed(payload: object, *, key: PrivateKey | str = CERTIFICATE.key, algorithm: str = "RS256", **header: str) -> str:
    """A token of any payload."""
    return jwt.PyJWS().encode(msgspec.json.encode(payload), key, algorithm, headers=header)


def app_token(**changes: object) -> str:
    """The token of the app, made at the time of the verification."""
    return APP.app_token(NOW, **changes)


def claims(**changes: object) -> dict[str, object]:
    """Claims of a token that is valid, without those that are None."""
    base: dict[str, object] = {"iss": "ttd", "urn:altinn:app": "bolig", "exp": NOW + 300, "nbf": NOW - 5}
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


async def test_token_of_an_app_names_it(tokens: AppTokens) -> None:
    """The issuer is the organisation."""
    assert App(org="ttd", name="bolig") == await tokens.app(app_token())


@pytest.mark.parametrize("header", [{}, {"kid": "another"}, {"kid": CERTIFICATE.digest.hex().upper()}])
async def test_key_id_is_a_hint(tokens: AppTokens, header: dict[str, str]) -> None:
    """A token without the id of a key is verified with each key of its issuer."""
    assert App(org="ttd", name="bolig") == await tokens.app(signed(claims(), **header))


async def test_each_kind_of_key_verifies(tmp_path: Path, tokens: AppTokens) -> None:
    """A key set may have keys with and without ids."""
    (tmp_path / "skd.jwks.json").write_bytes(
        msgspec.json.encode({"keys": [jwk_of(rsa_key("one"), kid="one"), jwk_of(curve_key("ES256"))]})
    )
    for key, algorithm in ((rsa_key("one"), "PS256"), (curve_key("ES256"), "ES256")):
        token = signed(claims(iss="skd"), key=key, algorithm=algorithm)
        assert App(org="skd", name="bolig") == await tokens.app(token)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (lambda: "", "not a JSON Web Token"),
        (lambda: "x", "not a JSON Web Token"),
        (lambda: f"Bearer {app_token()}", "not a JSON Web Token"),
        (lambda: "\xf8.\xf8.\xf8", "not a JSON Web Token"),
        (lambda: "x" * 20_000, "too long"),
        (lambda: app_token(exp=NOW), "has expired"),
        (lambda: app_token(nbf=NOW + 60), "not valid yet"),
        (lambda: signed(claims(exp=None)), "claim"),
        (lambda: signed(claims(iss=None)), "claim"),
        (lambda: signed(claims(**{"urn:altinn:app": None})), "claim"),
        (lambda: signed(claims(**{"urn:altinn:app": 5})), "claim"),
        (lambda: signed([]), "claim"),
        (lambda: signed(claims(**{"urn:altinn:app": "ttd/bolig"})), "urn:altinn:app"),
        (lambda: signed(claims(**{"urn:altinn:app": ""})), "urn:altinn:app"),
        (lambda: signed(claims(**{"urn:altinn:app": "../x"})), "urn:altinn:app"),
        (lambda: signed(claims(iss="skd")), "no keys of its issuer, skd"),
        (lambda: signed(claims(iss="../ttd")), "issuer is not the short name"),
        (lambda: signed(claims(iss="TTD")), "issuer is not the short name"),
        (lambda: signed(claims(iss="t")), "issuer is not the short name"),
        (lambda: signed(claims(iss="t" * 21)), "issuer is not the short name"),
        (lambda: signed(claims(iss="ttd\n")), "issuer is not the short name"),
        (lambda: signed(claims(), key=rsa_key("other")), "signature"),
        (lambda: signed(claims(), key="a shared secret of 32 characters", algorithm="HS256"), "algorithm"),
        (lambda: signed(claims(), key="", algorithm="none"), "algorithm"),
        (lambda: f"{app_token().rpartition('.')[0]}.{app_token(iat=1).rpartition('.')[2]}", "signature"),
    ],
)
async def test_invalid_token_is_unauthenticated(tokens: AppTokens, token: Callable[[], str], words: str) -> None:
    """The message names the header and the reason."""
    with pytest.raises(Unauthenticated, match=f"in the header PlatformAccessToken is invalid.*{words}"):
        await tokens.app(token())


@given(text=st.text() | st.binary().map(lambda octets: f"{app_token()[:40]}{octets.decode('latin-1')}"))
async def test_any_text_is_unauthenticated(text: str) -> None:
    """No text causes another exception."""
    with pytest.raises(Unauthenticated):
        await AppTokens(NoFiles(), clock=lambda: NOW * 1_000_000_000).app(text)


@given(changes=st.dictionaries(st.sampled_from(["iss", "exp", "nbf", "scope", "urn:altinn:app", "aud"]), JSON))
async def test_any_signed_claims_are_an_app_or_unauthenticated(changes: dict[str, object]) -> None:
    """The key of `ttd` never gives the app of another organisation."""
    tokens = AppTokens(OneFile(), clock=lambda: NOW * 1_000_000_000)
    try:
        app = await tokens.app(signed({**claims(), **changes}))
    except Unauthenticated:
        return

    assert "ttd" == app.org


class NoFiles:
    """No issuer has keys."""

    async def read(self, _: str) -> bytes | None:
        """See `KeyFiles.read`."""
        return None


class OneFile:
    """Only `ttd` has keys."""

    async def read(self, name: str) -> bytes | None:
        """See `KeyFiles.read`."""
        return CERTIFICATE.pem if name == "ttd.pem" else None


async def test_token_expires_while_its_keys_are_cached(tmp_path: Path) -> None:
    """The clock counts for each request."""
    (tmp_path / "ttd.pem").write_bytes(CERTIFICATE.pem)
    moment = [NOW]
    tokens = AppTokens(KeyDirectory(tmp_path), clock=lambda: moment[0] * 1_000_000_000)
    token = app_token(exp=NOW + 300)
    await tokens.app(token)
    moment[0] += 300
    with pytest.raises(Unauthenticated, match="expired"):
        await tokens.app(token)


async def test_keys_are_read_again_after_five_minutes(
    tmp_path: Path, tokens: AppTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is gone then counts no more. Until then the files are not read."""
    await tokens.app(app_token())
    (tmp_path / "ttd.pem").unlink()
    await tokens.app(app_token())
    keys = tokens._known["ttd"]
    monkeypatch.setattr(keys, "_refresh_time", keys._refresh_time - 301)
    monkeypatch.setattr(keys, "_next_refresh", 0.0)

    with pytest.raises(Unauthenticated, match="no keys"):
        await tokens.app(app_token())


async def test_key_that_was_just_added_is_unavailable_until_the_next_refresh(
    tmp_path: Path, tokens: AppTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, not 401: the keys are read at most once in ten seconds, so that invented tokens cause no more requests."""
    await tokens.app(app_token())
    new = Certificate.make("new")
    (tmp_path / "ttd.pem").write_bytes(new.pem)
    token = AltinnApp("ttd", "bolig", new).app_token(NOW)
    monkeypatch.setattr(tokens._known["ttd"], "_next_refresh", asyncio.get_running_loop().time() + 3.5)
    with pytest.raises(Unavailable, match="a moment ago") as failure:
        await tokens.app(token)
    monkeypatch.setattr(tokens._known["ttd"], "_next_refresh", 0.0)

    assert 1 <= failure.value.retry_seconds <= 4
    assert App(org="ttd", name="bolig") == await tokens.app(token)


async def test_first_file_of_an_issuer_is_unavailable_until_the_next_refresh(
    tmp_path: Path, tokens: AppTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issuer had no keys a moment ago. An invented issuer gets 401 from each refresh."""
    token, invented = signed(claims(iss="skd")), signed(claims(iss="invented"))
    for each in (token, invented):
        with pytest.raises(Unauthenticated, match="no keys"):
            await tokens.app(each)
        with pytest.raises(Unavailable) as failure:
            await tokens.app(each)
        assert 1 <= failure.value.retry_seconds <= cache.REFRESH_SECONDS_MIN
    (tmp_path / "skd.pem").write_bytes(CERTIFICATE.pem)
    for keys in tokens._unknown.values():
        monkeypatch.setattr(keys, "_next_refresh", 0.0)

    assert App(org="skd", name="bolig") == await tokens.app(token)
    with pytest.raises(Unauthenticated, match="no keys"):
        await tokens.app(invented)


class CountingFiles(KeyDirectory):
    """The files of a directory, and the names of those that were read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names = list[str]()

    async def read(self, name: str) -> bytes | None:
        """See `KeyFiles.read`."""
        self.names.append(name)
        return await super().read(name)


@pytest.mark.parametrize("header", [{}, {"kid": "invented"}])
async def test_token_without_a_known_key_id_causes_a_refresh_only_if_no_key_signed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: dict[str, str]
) -> None:
    """That is one refresh in ten seconds. Until the next one, the key of another such token may be new."""
    (tmp_path / "ttd.pem").write_bytes(CERTIFICATE.pem)
    tokens = AppTokens(files := CountingFiles(tmp_path), clock=lambda: NOW * 1_000_000_000)
    valid, forged = signed(claims(), **header), signed(claims(), key=rsa_key("other"), **header)
    await tokens.app(valid)
    monkeypatch.setattr(tokens._known["ttd"], "_next_refresh", 0.0)
    await tokens.app(valid)
    reads = [len(files.names)]
    with pytest.raises(Unauthenticated, match="signature"):
        await tokens.app(forged)
    reads.append(len(files.names))
    for _ in range(5):
        with pytest.raises(Unavailable):
            await tokens.app(forged)
    reads.append(len(files.names))

    assert [2, 4, 4] == reads


async def test_forged_token_with_the_id_of_a_key_is_unauthenticated_at_once(tokens: AppTokens) -> None:
    """Another key cannot have the id, so no refresh would help."""
    kid = CERTIFICATE.digest.hex().upper()
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="signature"):
            await tokens.app(signed(claims(), key=rsa_key("other"), kid=kid))


async def test_each_key_of_a_large_set_verifies_the_tokens_that_name_it(tmp_path: Path, tokens: AppTokens) -> None:
    """Also the last one. A token that names none is told to."""
    key = rsa_key("one")
    sets = [*(jwk_of(CERTIFICATE.key, kid=f"other-{number}") for number in range(15)), jwk_of(key, kid="last")]
    (tmp_path / "skd.jwks.json").write_bytes(msgspec.json.encode({"keys": sets}))
    with pytest.raises(Unauthenticated, match=r"too many keys to try each.*`kid`"):
        await tokens.app(signed(claims(iss="skd"), key=key))

    assert App(org="skd", name="bolig") == await tokens.app(signed(claims(iss="skd"), key=key, kid="last"))


async def test_source_of_keys_that_is_away_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, not 401: the app may try again. Keys that are cached still count."""
    monkeypatch.setattr(cache, "REFRESH_SECONDS_MIN", 0.0)
    monkeypatch.setattr(cache, "RETRY_SECONDS_MIN", 0.0)
    tokens = AppTokens(KeyDirectory(tmp_path / "keys"), clock=lambda: NOW * 1_000_000_000)
    with pytest.raises(Unavailable) as failure:
        await tokens.app(app_token())
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ttd.pem").write_bytes(CERTIFICATE.pem)
    await tokens.app(app_token())
    (tmp_path / "keys").rename(tmp_path / "away")

    assert failure.value.retry_seconds >= 1
    assert App(org="ttd", name="bolig") == await tokens.app(signed(claims(), kid="unknown"))


async def test_invented_issuers_displace_no_other(tokens: AppTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """They use no more memory than this, and the keys of `ttd` are not read again."""
    monkeypatch.setattr(tokens._unknown, "_Cache__maxsize", 5)
    await tokens.app(app_token())
    known = tokens._known["ttd"]
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await tokens.app(signed(claims(iss=f"org{number}")))
    await tokens.app(app_token())

    assert 5 == len(tokens._unknown)
    assert [("ttd", known)] == list(tokens._known.items())


class SlowFiles:
    """Files of invented issuers, which arrive only when `released` is set, and a certificate of `ttd`.

    `busy` is set by the third read.
    """

    def __init__(self) -> None:
        self.certificate = CERTIFICATE
        self.reads, self.busy, self.released = 0, asyncio.Event(), asyncio.Event()

    async def read(self, name: str) -> bytes | None:
        """See `KeyFiles.read`."""
        if name.startswith("ttd"):
            return self.certificate.pem if name == "ttd.pem" else None
        self.reads += 1
        if self.reads == 3:
            self.busy.set()
        await self.released.wait()
        return None


async def test_lookups_of_invented_issuers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More are refused at once with 503, also if the callers are gone. An issuer with keys does not wait for them."""
    monkeypatch.setattr(module, "LOOKUPS_MAX", 3)
    tokens = AppTokens(files := SlowFiles(), clock=lambda: NOW * 1_000_000_000)
    await tokens.app(app_token())
    names = ["org1", "org1", "org2", "org3"]
    waiting = [asyncio.create_task(tokens.app(signed(claims(iss=name)))) for name in names]
    await files.busy.wait()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for name in ("org4", "org5"):
        with pytest.raises(Unavailable, match="too many issuers"):
            await tokens.app(signed(claims(iss=name)))
    files.certificate = Certificate.make("new")
    monkeypatch.setattr(tokens._known["ttd"], "_next_refresh", 0.0)

    assert App(org="ttd", name="bolig") == await tokens.app(AltinnApp("ttd", "bolig", files.certificate).app_token(NOW))
    files.released.set()
    with pytest.raises(Unauthenticated, match="no keys"):
        await tokens.app(signed(claims(iss="org1")))


async def test_concurrent_tokens_of_a_new_issuer_cause_one_read(tmp_path: Path) -> None:
    """All of them wait for it, however many there are."""
    (tmp_path / "ttd.pem").write_bytes(CERTIFICATE.pem)
    tokens = AppTokens(files := CountingFiles(tmp_path), clock=lambda: NOW * 1_000_000_000)
    apps = await asyncio.gather(*(tokens.app(app_token()) for _ in range(200)))

    assert {App(org="ttd", name="bolig")} == set(apps)
    assert ["ttd.jwks.json", "ttd.pem"] == files.names
