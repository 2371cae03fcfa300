"""Messages about settings are our own: each says what the value must be."""

import pytest

from eventfeed.settings import PREFIX, SettingsError, describe_settings, load

NONSENSE = "\N{SNOWMAN} nonsense"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
        ("PORT", "x", "must be a whole number, at least 1, at most 65535"),
        ("PORT", "0", "must be a whole number, at least 1, at most 65535"),
        ("RETENTION_DAYS", "0", "must be a number, more than 0, at most 36500"),
        ("HOST", "", "must not be empty"),
        ("PUBLIC_URL", "nonsense", "does not fit this setting. The service's URL"),
    ],
)
def test_invalid_setting_is_named_with_its_requirement(name: str, value: str, words: str) -> None:
    """The value is shown."""
    with pytest.raises(SettingsError) as error:
        load({f"{PREFIX}{name}": value})

    assert f"{PREFIX}{name}={value!r}: {words}" in str(error.value)


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        ("keys", True),
        ("/var/keys of apps", True),
        ("https://keys.example.no", True),
        ("HTTPS://keys.example.no/apps/", True),
        ("http://127.0.0.1:8000/apps", True),
        ("http://[::1]:8000", True),
        ("http://keys.example.no", False),
        ("file:///keys", False),
        ("https://", False),
        ("https:///keys", False),
        ("https://user:word@keys.example.no", False),
        ("https://keys.example.no/apps?x=1", False),
        ("https://keys.example.no/apps#x", False),
        ("https://keys.example.no/a b", False),
    ],
)
def test_source_of_app_keys_is_a_directory_or_a_private_address(value: str, *, is_valid: bool) -> None:
    """Names of files are added to the address, so it has no query."""
    try:
        load({f"{PREFIX}APP_TOKEN_KEYS": value})
        message = ""
    except SettingsError as failure:
        message = str(failure)

    assert is_valid == (message == "")
    assert is_valid or message.startswith(f"{PREFIX}APP_TOKEN_KEYS: must be a directory, or an https address")


@pytest.mark.parametrize("name", [each.name.upper() for each in describe_settings()])
def test_no_message_of_a_library_is_passed_on(name: str) -> None:
    """This holds for every setting that refuses a text."""
    try:
        load({f"{PREFIX}{name}": NONSENSE})
        message = ""
    except SettingsError as failure:
        message = str(failure)

    assert "Expected" not in message
    assert "Invalid" not in message
