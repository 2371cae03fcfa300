"""Keys: the service's signing keys on disk, and a provider's keys in memory."""

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
from eventfeed.telemetry.telemetry import Telemetry
from tests.service.identity.provider_double import ISSUER, PrivateKey, ProviderDouble, curve_key, rsa_key

PROCESSES = 4
START = "import sys, pathlib; from eventfeed.identity.keys import SigningKeys as K; print(K.load(pathlib.Path(sys.argv[1])).jwks)"  # noqa: E501  # one line for `python -c`


def write_key(directory: Path, name: str, key: PrivateKey) -> None:
    """Write a key file as an operator does."""
    directory.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / name).write_bytes(pem)


def verifies(keys: SigningKeys, token: str) -> bool:
    """True if one of these keys signed the token."""
    key = keys.key(key_id(token))
    return key is not None and signed_payload(token, key) == b'{"a":1}'


def test_first_start_creates_a_key_that_only_its_owner_can_read(directory: Path) -> None:
    """Directory and file are private, and no temporary file remains."""
    SigningKeys.load(directory)
    files = list(directory.iterdir())

    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    assert [0o600] == [stat.S_IMODE(file.stat().st_mode) for file in files]


def test_restart_loads_the_same_key(directory: Path) -> None:
    """Tokens signed before a restart are verified after it."""
    token = SigningKeys.load(directory).sign({"a": 1})

    assert verifies(SigningKeys.load(directory), token)


def test_processes_that_start_together_use_one_key(directory: Path) -> None:
    """Every process prints the same key set."""
    processes = [
        subprocess.Popen([sys.executable, "-c", START, str(directory)], stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    outputs = {process.communicate(timeout=300)[0] for process in processes}

    assert [0] * PROCESSES == [process.returncode for process in processes]
    assert 1 == len(outputs)
    assert ["0001.pem"] == [file.name for file in directory.iterdir()]


def test_threads_that_create_a_key_together_use_one_key(directory: Path) -> None:
    """Each thread finds no key and creates one. All of them use the key that was stored first."""
    barrier = threading.Barrier(PROCESSES)

    def start() -> bytes:
        barrier.wait()
        return SigningKeys.load(directory).jwks

    with ThreadPoolExecutor(PROCESSES) as executor:
        key_sets = {future.result() for future in [executor.submit(start) for _ in range(PROCESSES)]}

    assert {SigningKeys.load(directory).jwks} == key_sets
    assert ["0001.pem"] == [file.name for file in directory.iterdir()]


def test_newest_key_signs_and_all_keys_verify(directory: Path) -> None:
    """Tokens of the old key stay valid after a rotation."""
    write_key(directory, "0001.pem", rsa_key("one"))
    before = SigningKeys.load(directory)
    old_token = before.sign({"a": 1})
    write_key(directory, "0002.pem", rsa_key("two"))
    after = SigningKeys.load(directory)
    new_token = after.sign({"a": 1})

    assert verifies(after, old_token)
    assert verifies(after, new_token)
    assert not verifies(before, new_token)
    assert {key_id(old_token), key_id(new_token)} == {
        key.key_id for key in jwt.PyJWKSet.from_json(after.jwks.decode()).keys
    }


def test_key_set_has_no_private_members(directory: Path) -> None:
    """RFC 7518 §6.3.2 lists the private members."""
    key_set = jwt.PyJWKSet.from_json(SigningKeys.load(directory).jwks.decode())

    assert [{"kty", "n", "e", "kid", "use", "alg", "key_ops"}] == [{*key._jwk_data} for key in key_set.keys]


def test_different_keys_have_different_ids(tmp_path: Path) -> None:
    """A client with a cached key set does not mistake a new key for the old one."""
    first, second = (SigningKeys.load(tmp_path / name).sign({}) for name in ("a", "b"))

    assert key_id(first) != key_id(second)


def test_invalid_key_file_is_reported_with_its_name(directory: Path) -> None:
    """The message names the next step."""
    directory.mkdir(parents=True)
    (directory / "0001.pem").write_text("-----BEGIN nonsense")

    with pytest.raises(SettingsError, match=r"0001\.pem is not an unencrypted RSA private key.*Replace or remove it"):
        SigningKeys.load(directory)


@pytest.mark.parametrize(
    "key", [rsa_key("short", 1024), rsa_key("long", 8448), curve_key("ES256")], ids=["short", "long", "curve"]
)
def test_key_of_a_wrong_kind_is_reported_with_its_name(directory: Path, key: PrivateKey) -> None:
    """The key is too short or too long, or no RSA key."""
    write_key(directory, "0001.pem", key)

    with pytest.raises(SettingsError, match="RSA private key in PEM with at least 2048 bits"):
        SigningKeys.load(directory)


def test_unusable_key_directory_is_reported(tmp_path: Path) -> None:
    """A file has the name of the directory."""
    (tmp_path / "keys").write_text("")

    with pytest.raises(SettingsError, match="EVENTFEED_KEYS: signing keys cannot be stored in"):
        SigningKeys.load(tmp_path / "keys" / "platform")


async def test_keys_of_a_provider_are_requested_once(double: ProviderDouble) -> None:
    """Any number of tokens is verified with the cached keys."""
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    for _ in range(5):
        await keys.key("key-1")

    assert 1 == double.key_requests


async def test_concurrent_callers_share_one_key_request(double: ProviderDouble) -> None:
    """A hundred first callers cause one request."""
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    results = await asyncio.gather(*(keys.key("key-1") for _ in range(100)))

    assert 1 == double.key_requests
    assert 1 == len({id(key) for key in results})


async def test_unknown_key_ids_cause_one_refresh_in_ten_seconds(double: ProviderDouble) -> None:
    """Forged key ids cannot cause more requests to the provider. Only the first one is certainly not a key."""
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    with pytest.raises(Unauthenticated, match="does not publish"):
        await keys.key("invented")
    for number in range(50):
        with pytest.raises(Unavailable):
            await keys.key(f"invented-{number}")

    assert 1 == double.key_requests


async def test_key_rotated_after_the_last_refresh_is_unavailable_until_the_next(double: ProviderDouble) -> None:
    """`Retry-After` is what is left of the ten seconds: the token may be valid."""
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    await keys.key("key-1")
    double.keys = {"key-2": rsa_key("two")}
    with pytest.raises(Unavailable) as failure:
        await keys.key("key-2")
    refresh = asyncio.get_running_loop().time() + 3.5
    keys._next_refresh = refresh
    with pytest.raises(Unavailable) as later_failure:
        await keys.key("key-2")

    assert 1 <= failure.value.retry_seconds <= module.REFRESH_SECONDS_MIN
    assert 1 <= later_failure.value.retry_seconds <= 4


async def test_new_key_is_loaded_when_it_is_used(double: ProviderDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the provider has withdrawn is no longer accepted."""
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    await keys.key("key-1")
    double.keys = {"key-2": rsa_key("two")}
    monkeypatch.setattr(keys, "_next_refresh", 0.0)

    assert rsa_key("two").public_key() == (await keys.key("key-2")).key
    monkeypatch.setattr(keys, "_next_refresh", 0.0)
    with pytest.raises(Unauthenticated):
        await keys.key("key-1")


async def test_cached_keys_are_refreshed_after_an_hour(double: ProviderDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """This also holds for a key id that is in the cache."""
    monkeypatch.setattr(module, "KEYS_SECONDS", 0.0)
    monkeypatch.setattr(module, "REFRESH_SECONDS_MIN", 0.0)
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    await keys.key("key-1")
    double.keys = {"key-2": rsa_key("two")}

    with pytest.raises(Unauthenticated):
        await keys.key("key-1")


async def test_failing_provider_is_unavailable_with_a_retry_time(double: ProviderDouble) -> None:
    """Calls within the next second cause no further request."""
    double.is_down = True
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    failures = await asyncio.gather(*(keys.key("key-1") for _ in range(3)), return_exceptions=True)

    assert [5] * 3 == [failure.retry_seconds for failure in failures if isinstance(failure, Unavailable)]
    with pytest.raises(Unavailable):
        await keys.key("key-1")
    assert 1 == len(double.requests)


async def test_concurrent_callers_share_one_failure(double: ProviderDouble) -> None:
    """All callers wait for the same request."""
    double.is_down = True
    double.gate.clear()
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    tasks = [asyncio.create_task(keys.key("key-1")) for _ in range(10)]
    await asyncio.sleep(0)
    double.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [Unavailable] * 10 == [type(result) for result in results]
    assert 1 == len(double.requests)


async def test_provider_that_recovers_is_used_again(double: ProviderDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service needs no restart."""
    monkeypatch.setattr(module, "RETRY_SECONDS_MIN", 0.0)
    double.is_down = True
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    with pytest.raises(Unavailable):
        await keys.key("key-1")
    double.is_down = False

    assert rsa_key("one").public_key() == (await keys.key("key-1")).key


async def test_cached_keys_are_used_while_the_provider_fails(
    double: ProviderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also holds after their hour. A key id outside the cache is unavailable."""
    monkeypatch.setattr(module, "KEYS_SECONDS", 0.0)
    monkeypatch.setattr(module, "REFRESH_SECONDS_MIN", 0.0)
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    first = await keys.key("key-1")
    double.is_down = True

    assert first is await keys.key("key-1")
    with pytest.raises(Unavailable):
        await keys.key("key-2")


async def test_caller_with_a_cached_key_does_not_wait_for_a_failing_provider(
    double: ProviderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refresh runs in the background."""
    for name in ("KEYS_SECONDS", "REFRESH_SECONDS_MIN", "RETRY_SECONDS_MIN"):
        monkeypatch.setattr(module, name, 0.0)
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    first = await keys.key("key-1")
    double.is_down = True
    await keys.key("key-1")
    double.gate.clear()

    async with asyncio.timeout(120):
        second = await keys.key("key-1")
    double.gate.set()

    assert first is second


async def test_refresh_for_an_unknown_key_id_delays_no_other_caller(
    double: ProviderDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cached keys are returned at once."""
    monkeypatch.setattr(module, "REFRESH_SECONDS_MIN", 0.0)
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    first = await keys.key("key-1")
    double.gate.clear()
    unknown_key = asyncio.create_task(keys.key("invented"))
    await asyncio.sleep(0)
    async with asyncio.timeout(120):
        second = await keys.key("key-1")
    double.gate.set()

    assert first is second
    with pytest.raises(Unauthenticated):
        await unknown_key


async def test_cancelled_caller_does_not_cancel_the_refresh(double: ProviderDouble) -> None:
    """Other callers wait for the same request."""
    double.gate.clear()
    keys = ProviderKeys(ISSUER, double.client, telemetry=Telemetry())
    first, second = (asyncio.create_task(keys.key("key-1")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    double.gate.set()

    assert rsa_key("one").public_key() == (await second).key
    assert 1 == double.key_requests
