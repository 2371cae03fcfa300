"""Property values as they travel: plain JSON in which unknown and secret values are marked by agreed words."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime import rpc

# What a resource is given or gives: JSON whose leaves may be the unknown word and whose branches may be secret.
Properties = dict[str, Any]

UNKNOWN = rpc.UNKNOWN
_SIGNATURE = rpc._special_sig_key
_SECRET = rpc._special_secret_sig


def to_struct(properties: Mapping[str, Any]) -> Struct:
    """Properties as the protocol carries them."""
    return ParseDict(dict(properties), Struct())


def from_struct(struct: Struct) -> Properties:
    """Properties as the protocol carried them, whole numbers as such."""
    found = _whole(MessageToDict(struct))
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list) else value


def is_secret(value: Any) -> bool:
    """Whether this very value is marked secret."""
    return isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET


def secret(value: Any) -> Any:
    """The value, marked secret."""
    return value if is_secret(value) else {_SIGNATURE: _SECRET, "value": value}


def reveal(value: Any) -> Any:
    """The value without any mark of secrecy, inside it either."""
    if is_secret(value):
        return reveal(value["value"])
    if isinstance(value, Mapping):
        return {key: reveal(each) for key, each in value.items()}
    return [reveal(each) for each in value] if isinstance(value, list) else value


def has_unknown(value: Any) -> bool:
    """Whether anything in it is not known yet."""
    if isinstance(value, Mapping):
        return any(has_unknown(each) for each in value.values())
    return any(has_unknown(each) for each in value) if isinstance(value, list) else bool(value == UNKNOWN)
