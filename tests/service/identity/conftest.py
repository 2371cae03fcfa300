"""Fixtures of the identity tests."""

from pathlib import Path

import pytest

from eventfeed.identity.keys import SigningKeys
from tests.service.identity.provider_double import ProviderDouble, rsa_key


@pytest.fixture
def double() -> ProviderDouble:
    """A double of Maskinporten at the wire."""
    return ProviderDouble()


@pytest.fixture
def platform_keys() -> SigningKeys:
    """The signing keys of the platform."""
    return SigningKeys([rsa_key("platform")])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory for signing keys that does not exist yet."""
    return tmp_path / "keys" / "platform"
