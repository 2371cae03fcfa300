"""The network of the environment: usual values of the variables are understood, others are named."""

import os
from pathlib import Path

import certifi
import httpx
import pytest

from eventfeed.bounded_fetch import EnvironmentTransport, fetch
from eventfeed.client import Client
from eventfeed.domain.errors import Unavailable
from eventfeed.network import EnvironmentVariableError, certificates, proxy_of

PROXY = "http://proxy.example.no:3128"
EVENTS = "https://events.example.no/base"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of this machine."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL_CERT"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", [PROXY, "proxy.example.no:3128"])
def test_proxy_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value without a scheme is an HTTP proxy, as for curl."""
    monkeypatch.setenv(name, value)

    assert PROXY == proxy_of(EVENTS)


@pytest.mark.parametrize(
    ("exceptions", "url", "is_direct"),
    [
        ("localhost,[::1]", EVENTS, False),
        ("localhost,[::1]", "https://[::1]:8080", True),
        ("[fd00::1]", "https://[fd00::1]:8080", True),
        ("fd00::1", "https://[fd00::1]", True),
        ("fd00::/8", "https://[fd00::1]", True),
        ("10.0.0.0/8, x", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        (".example.no", EVENTS, True),
        ("*.example.no", EVENTS, True),
        ("example.no", EVENTS, True),
        ("ample.no", EVENTS, False),
        ("events.example.no:443", "https://events.example.no:443", True),
        ("*", EVENTS, True),
        ("[::1", EVENTS, False),
        ("http://x, ,,a b", EVENTS, False),
        ("", "http://127.0.0.1:8080", True),
    ],
)
def test_no_proxy_is_understood(monkeypatch: pytest.MonkeyPatch, exceptions: str, url: str, *, is_direct: bool) -> None:
    """Names, suffixes, addresses with brackets or without, and networks. No value is an error."""
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exceptions)

    assert is_direct is (proxy_of(url) is None)


UNUSABLE = ["socks5h://p:1", "socks5://p", "ftp://p", "http://[p", "p:port", "http://p:0", "http://", "://", "a b"]


@pytest.mark.parametrize("value", UNUSABLE)
def test_unusable_proxy_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """The value may hold a password. The client of the library has the same message."""
    monkeypatch.setenv("all_proxy", value)

    with pytest.raises(EnvironmentVariableError, match=r"^all_proxy: is not the URL of an HTTP proxy"):
        proxy_of(EVENTS)
    with pytest.raises(EnvironmentVariableError, match="all_proxy"):
        Client(EVENTS)
    Client("http://127.0.0.1:8080").close()


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_gone_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The client of the library has the same message."""
    monkeypatch.setenv(name, str(tmp_path / "gone"))

    with pytest.raises(EnvironmentVariableError, match=f"^{name}=.*gone: has no certificates"):
        certificates()
    with pytest.raises(EnvironmentVariableError, match=name):
        Client(EVENTS)


def test_file_without_certificates_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It exists, and holds something else."""
    (tmp_path / "text").write_text("text")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "text"))

    with pytest.raises(EnvironmentVariableError, match="SSL_CERT_FILE"):
        certificates()


def test_certificates_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a variable, the library has its own."""
    assert certificates() is True
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    context = certificates()

    assert not isinstance(context, bool)
    assert context.get_ca_certs()


async def test_request_of_the_service_without_a_usable_proxy_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses of the settings are checked at the start; the URL of keys is known later."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://p:1")
    monkeypatch.setenv("NO_PROXY", "issuer.example.no")
    async with httpx.AsyncClient(transport=EnvironmentTransport(["https://issuer.example.no"])) as client:
        with pytest.raises(Unavailable):
            await fetch(client, client.build_request("GET", "https://keys.example.no"), service="The test")

    with pytest.raises(EnvironmentVariableError, match="ALL_PROXY"):
        EnvironmentTransport(["https://other.example.no"])
