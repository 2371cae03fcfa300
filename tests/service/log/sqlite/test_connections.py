"""The SQLite library, and the meaning of its errors."""

import apsw
import pytest

from eventfeed.log.sqlite.connections import require_sound_library
from eventfeed.settings import SettingsError


def test_library_of_this_environment_is_sound() -> None:
    """The wheel of apsw contains a SQLite without the WAL-reset defect."""
    require_sound_library(apsw.sqlite_lib_version())


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2", "3.9.2"])
def test_library_that_can_lose_a_commit_is_refused(version: str) -> None:
    """The message names the version and the remedy."""
    with pytest.raises(SettingsError, match=f"SQLite {version} .*3.51.3.*apsw"):
        require_sound_library(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.51.10", "3.54.1", "4.0.0"])
def test_library_without_the_defect_is_accepted(version: str) -> None:
    """Versions are compared as numbers, not as text."""
    require_sound_library(version)
