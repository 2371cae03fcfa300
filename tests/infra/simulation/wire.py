"""Property values in Pulumi's wire format: JSON in which reserved strings and keys mark unknown and secret values."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc

# A resource's inputs or outputs. Leaves may be UNKNOWN, and a value may be wrapped as a secret.
Properties = dict[str, Any]

UNKNOWN = rpc.UNKNOWN
_SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig


def to_struct(properties: Mapping[str, Any]) -> Struct:
    """Encode properties for the protocol."""
    return ParseDict(dict(properties), Struct())


def from_struct(struct: Struct) -> Properties:
    """Decode properties from the protocol. Whole numbers become integers."""
    properties = _with_integers(MessageToDict(struct))
    return properties if isinstance(properties, dict) else {}


def _with_integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _with_integers(each) for key, each in value.items()}
    return [_with_integers(each) for each in value] if isinstance(value, list) else value


def is_secret(value: Any) -> bool:
    """Return True if the value itself is marked secret."""
    return isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET


def mark_secret(value: Any) -> Any:
    """Return the value marked secret."""
    return value if is_secret(value) else {_SIGNATURE: _SECRET, "value": value}


def reveal(value: Any) -> Any:
    """Return the value without secret marks at any depth."""
    if is_secret(value):
        return reveal(value["value"])
    if isinstance(value, Mapping):
        return {key: reveal(each) for key, each in value.items()}
    return [reveal(each) for each in value] if isinstance(value, list) else value


def has_unknown(value: Any) -> bool:
    """Return True if the value contains an unknown value at any depth."""
    if isinstance(value, Mapping):
        return any(has_unknown(each) for each in value.values())
    return any(has_unknown(each) for each in value) if isinstance(value, list) else bool(value == UNKNOWN)
