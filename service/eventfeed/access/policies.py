"""Cedar policies in a file: parsed within limits, and checked against the schema."""

import contextlib
import logging
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import get_args

import cedarpy
import msgspec

from eventfeed.access.watched_file import WatchedFile
from eventfeed.domain.decision import Action

# The parser overflows the stack at some hundred brackets, and at some thousand nested conditions.
POLICY_DEPTH_MAX = 50
POLICY_LENGTH_MAX = 16 * 1024
# Brackets and ends of policies, outside of strings and comments.
_TOKENS = re.compile(r""""(?:[^"\\]|\\.)*"|//[^\r\n]*|[()\[\]{};]""", re.DOTALL)
_STEPS = {**dict.fromkeys("([{", 1), **dict.fromkeys(")]}", -1)}

_ACTIONS_HINT = f"actions: {', '.join(get_args(Action))}"

_log = logging.getLogger(__name__)


def policies_file(path: Path | None) -> WatchedFile[cedarpy.PolicySet]:
    """Return the file of Cedar policies at `path`, or the built-in one. Raises `SettingsError` if it is invalid."""
    builtin = files(__package__).joinpath("policies.cedar")
    return WatchedFile("EVENTFEED_POLICIES", path, builtin=builtin, parse=_policies)


def _policies(text: bytes) -> cedarpy.PolicySet:
    """Parse policies. Raises `ValueError` with every contradiction to the schema."""
    source = text.decode()
    _require_shallow(source)
    schema = files(__package__).joinpath("schema.cedarschema").read_text()
    policies = cedarpy.PolicySet.from_str(source)
    result = cedarpy.validate_policies(source, schema)
    if not result.validation_passed:
        raise ValueError("\n".join(f"{fault}; correct the policy ({_ACTIONS_HINT})" for fault in result.errors))
    # Deeply nested conditions cannot be decoded; they only lose the warning.
    with contextlib.suppress(RecursionError):
        _warn_without_subscribe(source)
    return policies


def _warn_without_subscribe(source: str) -> None:
    """Log a warning about policies for `read` without any for `subscribe`, as earlier releases needed them."""
    policies = msgspec.json.decode(cedarpy.policies_to_json_str(source), type=_PolicySet).static_policies.values()
    actions = set(chain.from_iterable(policy.action.names() for policy in policies if policy.effect == "permit"))
    if "read" in actions and "subscribe" not in actions:
        _log.warning(
            "EVENTFEED_POLICIES: no policy permits the action subscribe, so only their owners read events of "
            'resources other than apps. To permit it, write action in [Action::"read", Action::"subscribe"].'
        )


def _require_shallow(source: str) -> None:
    """Refuse policies that are too deep or too long: Cedar's parser is recursive, and would crash the process."""
    depth = start = 0
    for token in _TOKENS.finditer(f"{source};"):
        depth = max(0, depth + _STEPS.get(token[0], 0))
        length = token.start() - start if token[0] == ";" else 0
        if depth > POLICY_DEPTH_MAX or length > POLICY_LENGTH_MAX:
            line = source.count("\n", 0, token.start()) + 1
            raise ValueError(
                f"line {line}: a policy has brackets in more than {POLICY_DEPTH_MAX} levels or more than "
                f"{POLICY_LENGTH_MAX} characters; split the policy"
            )
        start = token.end() if token[0] == ";" else start


class _ActionId(msgspec.Struct, frozen=True):
    id: str


class _ActionScope(msgspec.Struct, frozen=True):
    """The actions of a policy, in Cedar's JSON format."""

    op: str
    entity: _ActionId | None = None
    entities: Sequence[_ActionId] = ()

    def names(self) -> Sequence[str]:
        """Return the names of the actions."""
        if self.op == "All":
            return get_args(Action)
        return [each.id for each in (*self.entities, *([self.entity] if self.entity else []))]


class _Policy(msgspec.Struct, frozen=True):
    effect: str
    action: _ActionScope


class _PolicySet(msgspec.Struct, frozen=True, rename="camel"):
    static_policies: Mapping[str, _Policy]
