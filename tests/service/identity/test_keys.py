"""Keys: our own on disk, and a provider's in memory."""

import asyncio
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from eventfeed.domain.errors import Unauthenticated, Unavailable
from eventfeed.identity import keys as module
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.signatures import key_id, signed_payload
from eventfeed.settings import SettingsError
from tests.service.identity.providing import ISSUER, Double, PrivateKey, curve_key, rsa_key

STARTERS = 4
START = "import sys, pathlib; from eventfeed.identity.keys import SigningKeys as K; print(K.load(pathlib.Path(sys.argv[1])).jwks)"  # noqa: E501  # one line for `python -c`


def kept(directory: Path, name: str, key: PrivateKey) -> None:
    """Put a key where an operator would."""
    directory.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / name).write_bytes(pem)


def verifies(keys: SigningKeys, token: str) -> bool:
    """Whether one of these keys signed the token."""
    key = keys.key(key_id(token))
    return key is not None and signed_payload(token, key) == b'{"a":1}'


def test_the_first_start_makes_a_key_that_is_nobody_elses(directory: Path) -> None:
    """The directory and the file can be read by their owner alone, and nothing else is left there."""
    SigningKeys.load(directory)
    files = list(directory.iterdir())

    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    assert [0o600] == [stat.S_IMODE(file.stat().st_mode) for file in files]


def test_the_next_start_finds_it(directory: Path) -> None:
    """What was signed before a restart is verified after it."""
    token = SigningKeys.load(directory).sign({"a": 1})

    assert verifies(SigningKeys.load(directory), token)


def test_processes_that_start_at_once_agree_on_one_key(directory: Path) -> None:
    """Whoever is second takes the first one's."""
    starters = [
        subprocess.Popen([sys.executable, "-c", START, str(directory)], stdout=subprocess.PIPE) for _ in range(STARTERS)
    ]
    printed = {starter.communicate(timeout=60)[0] for starter in starters}

    assert [0] * STARTERS == [starter.returncode for starter in starters]
    assert 1 == len(printed)
    assert ["0001.pem"] == [file.name for file in directory.iterdir()]


def test_who_is_late_takes_the_key_that_is_there(directory: Path) -> None:
    """All of them found none and make one; the first to finish has made it for all."""
    together = threading.Barrier(STARTERS)

    def start() -> bytes:
        together.wait()
        return SigningKeys.load(directory).jwks

    with ThreadPoolExecutor(STARTERS) as starters:
        published = {future.result() for future in [starters.submit(start) for _ in range(STARTERS)]}

    assert {SigningKeys.load(directory).jwks} == published
    assert ["0001.pem"] == [file.name for file in directory.iterdir()]


def test_the_newest_key_signs_and_all_verify(directory: Path) -> None:
    """So a key can be changed while tokens of the old one are still about."""
    kept(directory, "0001.pem", rsa_key("one"))
    before = SigningKeys.load(directory)
    old = before.sign({"a": 1})
    kept(directory, "0002.pem", rsa_key("two"))
    after = SigningKeys.load(directory)
    new = after.sign({"a": 1})

    assert verifies(after, old)
    assert verifies(after, new)
    assert not verifies(before, new)
    assert {key_id(old), key_id(new)} == {key.key_id for key in jwt.PyJWKSet.from_json(after.jwks.decode()).keys}


def test_what_is_published_is_public(directory: Path) -> None:
    """No member of a private key is in it (RFC 7518 §6.3.2)."""
    published = jwt.PyJWKSet.from_json(SigningKeys.load(directory).jwks.decode())

    assert [{"kty", "n", "e", "kid", "use", "alg", "key_ops"}] == [{*key._jwk_data} for key in published.keys]


def test_another_key_has_another_id(tmp_path: Path) -> None:
    """Who remembers the key of a folder that was emptied does not take the new one for it."""
    first, second = (SigningKeys.load(tmp_path / name).sign({}) for name in ("a", "b"))

    assert key_id(first) != key_id(second)


def test_a_file_that_is_no_key_is_named(directory: Path) -> None:
    """With what to do, before anything is served."""
    directory.mkdir(parents=True)
    (directory / "0001.pem").write_text("-----BEGIN nonsense")

    with pytest.raises(SettingsError, match=r"0001\.pem is no RSA private key.*Replace it"):
        SigningKeys.load(directory)


@pytest.mark.parametrize("key", [rsa_key("short", 1024), curve_key("ES256")], ids=["short", "curve"])
def test_a_key_that_nobody_could_verify_is_named(directory: Path, key: PrivateKey) -> None:
    """Too short, or of another kind than what we sign with."""
    kept(directory, "0001.pem", key)

    with pytest.raises(SettingsError, match="no RSA private key of 2048 bits"):
        SigningKeys.load(directory)


def test_a_place_that_cannot_hold_keys_is_named(tmp_path: Path) -> None:
    """A file stands where the directory should be."""
    (tmp_path / "keys").write_text("")

    with pytest.raises(SettingsError, match="EVENTFEED_KEYS: signing keys cannot be kept in"):
        SigningKeys.load(tmp_path / "keys" / "platform")


async def test_a_providers_keys_are_asked_for_once(double: Double) -> None:
    """However many tokens come."""
    keys = ProviderKeys(ISSUER, double.client)
    for _ in range(5):
        await keys.key("key-1")

    assert 1 == double.looks


async def test_those_who_wait_share_one_look(double: Double) -> None:
    """A hundred first callers are one question."""
    keys = ProviderKeys(ISSUER, double.client)
    found = await asyncio.gather(*(keys.key("key-1") for _ in range(100)))

    assert 1 == double.looks
    assert 1 == len({id(key) for key in found})


async def test_an_unknown_key_is_looked_for_but_not_again_and_again(double: Double) -> None:
    """Invented key ids cost the provider one question each ten seconds, whoever sends them."""
    keys = ProviderKeys(ISSUER, double.client)
    for number in range(50):
        with pytest.raises(Unauthenticated, match="does not publish"):
            await keys.key(f"invented-{number}")

    assert 1 == double.looks


async def test_a_new_key_is_found_when_it_is_used(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that the provider withdrew is gone with it."""
    keys = ProviderKeys(ISSUER, double.client)
    await keys.key("key-1")
    double.keys = {"key-2": rsa_key("two")}
    with pytest.raises(Unauthenticated):
        await keys.key("key-2")
    monkeypatch.setattr(keys, "_next_look", 0.0)

    assert rsa_key("two").public_key() == (await keys.key("key-2")).key
    with pytest.raises(Unauthenticated):
        await keys.key("key-1")


async def test_keys_grow_old(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """After their hour they are asked for again, known or not."""
    monkeypatch.setattr(module, "KEYS_SECONDS", 0.0)
    monkeypatch.setattr(module, "REFRESH_SECONDS_MIN", 0.0)
    keys = ProviderKeys(ISSUER, double.client)
    await keys.key("key-1")
    double.keys = {"key-2": rsa_key("two")}

    with pytest.raises(Unauthenticated):
        await keys.key("key-1")


async def test_a_silent_provider_is_not_the_tokens_fault(double: Double) -> None:
    """503 with a time to come back, not 401; those who come meanwhile do not ask it again."""
    double.silent = True
    keys = ProviderKeys(ISSUER, double.client)
    refusals = await asyncio.gather(*(keys.key("key-1") for _ in range(3)), return_exceptions=True)

    assert [5] * 3 == [refusal.retry_seconds for refusal in refusals if isinstance(refusal, Unavailable)]
    with pytest.raises(Unavailable):
        await keys.key("key-1")
    assert 1 == len(double.asked)


async def test_those_who_wait_for_a_silent_provider_wait_once(double: Double) -> None:
    """Its silence is told to all of them together, not to one after the other."""
    double.silent = True
    double.open_.clear()
    keys = ProviderKeys(ISSUER, double.client)
    waiting = [asyncio.create_task(keys.key("key-1")) for _ in range(10)]
    await asyncio.sleep(0)
    double.open_.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)

    assert [Unavailable] * 10 == [type(answer) for answer in answers]
    assert 1 == len(double.asked)


async def test_a_provider_that_comes_back_is_heard(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon, and without a restart."""
    monkeypatch.setattr(module, "RETRY_SECONDS_MIN", 0.0)
    double.silent = True
    keys = ProviderKeys(ISSUER, double.client)
    with pytest.raises(Unavailable):
        await keys.key("key-1")
    double.silent = False

    assert rsa_key("one").public_key() == (await keys.key("key-1")).key


async def test_known_keys_stay_good_while_the_provider_is_silent(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also past their hour; an unknown one is 503 then, for nobody can say."""
    monkeypatch.setattr(module, "KEYS_SECONDS", 0.0)
    monkeypatch.setattr(module, "REFRESH_SECONDS_MIN", 0.0)
    keys = ProviderKeys(ISSUER, double.client)
    known = await keys.key("key-1")
    double.silent = True

    assert known is await keys.key("key-1")
    with pytest.raises(Unavailable):
        await keys.key("key-2")


async def test_nobody_with_a_known_key_waits_for_a_provider_known_to_be_silent(
    double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked beside them, and need not answer."""
    for name in ("KEYS_SECONDS", "REFRESH_SECONDS_MIN", "RETRY_SECONDS_MIN"):
        monkeypatch.setattr(module, name, 0.0)
    keys = ProviderKeys(ISSUER, double.client)
    known = await keys.key("key-1")
    double.silent = True
    await keys.key("key-1")
    double.open_.clear()

    async with asyncio.timeout(1):
        again = await keys.key("key-1")
    double.open_.set()

    assert known is again


async def test_an_invented_key_id_delays_no_one_else(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is looked for, known keys are given at once."""
    monkeypatch.setattr(module, "REFRESH_SECONDS_MIN", 0.0)
    keys = ProviderKeys(ISSUER, double.client)
    known = await keys.key("key-1")
    double.open_.clear()
    forger = asyncio.create_task(keys.key("invented"))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        again = await keys.key("key-1")
    double.open_.set()

    assert known is again
    with pytest.raises(Unauthenticated):
        await forger


async def test_who_leaves_does_not_take_the_look_along(double: Double) -> None:
    """A cancelled request spoils nothing for those who wait with it."""
    double.open_.clear()
    keys = ProviderKeys(ISSUER, double.client)
    leaver, stayer = (asyncio.create_task(keys.key("key-1")) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    double.open_.set()

    assert rsa_key("one").public_key() == (await stayer).key
    assert 1 == double.looks
