"""What the identity tests have."""

from pathlib import Path

import pytest

from eventfeed.identity.keys import SigningKeys
from tests.service.identity.providing import Double, rsa_key


@pytest.fixture
def double() -> Double:
    """A Maskinporten at the wire."""
    return Double()


@pytest.fixture
def platform_keys() -> SigningKeys:
    """The platform's own key."""
    return SigningKeys([rsa_key("platform")])


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where signing keys are kept; not there yet."""
    return tmp_path / "keys" / "platform"
