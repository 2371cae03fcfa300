"""Cedar policies in a file: the limits of the parser, and the schema."""

from pathlib import Path

import pytest

from eventfeed.access.policies import policies_file
from eventfeed.settings import SettingsError


@pytest.mark.parametrize(
    "policies",
    [
        "",
        "permit (principal, action, resource) when { context.nothing };",
        "permit (principal, action, resource) when { principal.org == 7 };",
        'permit (principal == Robot::"x", action, resource);',
        "permit (",
        "\xff",
    ],
)
def test_invalid_policies_are_reported_at_the_start(tmp_path: Path, policies: str) -> None:
    """The error names the file. An empty file is valid and permits no reading."""
    file = tmp_path / "wrong.cedar"
    file.write_bytes(policies.encode("latin-1"))
    if not policies:
        policies_file(file)
        return

    with pytest.raises(SettingsError, match=r"EVENTFEED_POLICIES=.*wrong\.cedar"):
        policies_file(file)


def when(condition: str) -> str:
    """Return a policy with this condition."""
    return f"permit (principal, action, resource) when {{ {condition} }};"


@pytest.mark.parametrize(
    "text",
    [
        when("(" * 1_000 + "true" + ")" * 1_000),
        when("(" * 51 + "true" + ")" * 51),
        when("[" * 1_000 + "]" * 1_000 + " == []"),
        when("{a:" * 1_000 + "1" + "}" * 1_000 + " == {}"),
        when("decimal(" * 1_000 + '"1.0"' + ")" * 1_000 + " == 1"),
        when("([{a:" * 400 + "1" + "}])" * 400 + " == 1"),
        when("if true then true else " * 20_000 + "true"),
        when("true" + " && true" * 20_000),
        when("context has a" + ".a" * 20_000),
        '// "\r' + when("(" * 1_000 + "true" + ")" * 1_000),
        when('"\\"" == "' + "(" * 10 + '" || ' + "(" * 1_000 + "true" + ")" * 1_000),
        "(" * 60 + ";" + ")" * 60,
    ],
    ids=[
        *("parentheses", "one too many", "lists", "records", "calls", "mixture", "conditions", "chain", "attributes"),
        *("after a comment", "after strings", "unbalanced"),
    ],
)
def test_policy_that_would_crash_the_parser_is_refused(tmp_path: Path, text: str) -> None:
    """Cedar's parser overflows the stack, which ends the process. The message has the line."""
    file = tmp_path / "deep.cedar"
    file.write_text(f"// first\n{text}")

    with pytest.raises(SettingsError, match=r"EVENTFEED_POLICIES=.*deep\.cedar: line 2: .*split the policy"):
        policies_file(file)


@pytest.mark.parametrize(
    "text",
    [
        when("(" * 49 + "true" + ")" * 49),
        when(f'"{"(" * 1_000}" == ""'),
        f"// {'(' * 1_000}\n" + when("true"),
        when("(true) && " * 1_000 + "true"),
        when("if true then true else " * 600 + "true"),
        when("true") * 5_000,
    ],
    ids=["deep", "string", "comment", "flat", "conditions", "many policies"],
)
def test_long_and_deep_policies_within_the_limits_are_accepted(tmp_path: Path, text: str) -> None:
    """Brackets in strings and comments do not count."""
    file = tmp_path / "long.cedar"
    file.write_text(text)

    assert policies_file(file).value


@pytest.mark.parametrize(
    ("policies", "is_warning"),
    [
        ('permit (principal, action == Action::"read", resource);', True),
        ('permit (principal, action in [Action::"read", Action::"publish"], resource);', True),
        ('permit (principal, action in Action::"read", resource); forbid (principal, action, resource);', True),
        ('permit (principal, action in [Action::"subscribe", Action::"read"], resource);', False),
        ('permit (principal, action == Action::"subscribe", resource);', False),
        ("permit (principal, action, resource);", False),
        ('permit (principal, action == Action::"publish", resource);', False),
        ("", False),
    ],
)
def test_policies_for_read_without_subscribe_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, policies: str, *, is_warning: bool
) -> None:
    """Such a file was written before `subscribe` existed. The built-in policies have both."""
    file = tmp_path / "own.cedar"
    file.write_text(policies)
    policies_file(None)
    policies_file(file)

    assert is_warning == ("no policy permits the action subscribe" in caplog.text)


def test_unknown_action_is_reported_with_the_valid_ones(tmp_path: Path) -> None:
    """The message names the action and the file."""
    file = tmp_path / "own.cedar"
    file.write_text('permit (principal, action == Action::"write", resource);')

    with pytest.raises(SettingsError, match=r'own\.cedar: .*Action::"write".*\(actions: read, subscribe, publish\)'):
        policies_file(file)
