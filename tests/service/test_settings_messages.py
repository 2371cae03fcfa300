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


@pytest.mark.parametrize(
    ("issuer", "is_development"),
    [
        ("", True),
        ("http://127.0.0.1:8081/authentication/api/v1/openid/", True),
        ("https://platform.example.no/authentication/api/v1/openid/", False),
    ],
)
def test_issuer_of_a_platform_elsewhere_ends_development_identities(issuer: str, *, is_development: bool) -> None:
    """A double on this machine does not: it is for trying."""
    settings = load({f"{PREFIX}PLATFORM_ISSUER": issuer, f"{PREFIX}REGISTER": "register.json"})

    assert is_development == settings.development


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PLATFORM_ISSUER": "http://platform.example.no/"}, "PLATFORM_ISSUER: must be https"),
        ({"PLATFORM_ISSUER": "https://platform.example.no/"}, "PLATFORM_URL: needed"),
        (
            {"PLATFORM_ISSUER": "https://platform.example.no:port/"},
            "PLATFORM_ISSUER='https://platform.example.no:port/'",
        ),
        ({"PLATFORM_ISSUER": "platform.example.no"}, "does not fit this setting"),
        ({"PLATFORM_ISSUER": "http://127.0.0.1:1/", "HOST": "10.0.0.1"}, "MASKINPORTEN_ISSUER: needed"),
    ],
)
def test_issuer_of_the_platform_must_be_safe(variables: dict[str, str], words: str) -> None:
    """Its keys decide who a caller is."""
    with pytest.raises(SettingsError) as error:
        load({f"{PREFIX}{name}": value for name, value in variables.items()})

    assert words in str(error.value)


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
