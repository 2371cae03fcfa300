"""Checks a resource's inputs against Azure's own description of its type, where that is beside the repository.

The description (`../shared/data/armtypes.json`, not part of the project) is the official one at exactly the version of
Azure's interface that the SDK uses. The SDK flattens what Azure nests in `properties`, and spells some names in its
own way; both are undone here while checking.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.infra.simulation.catalog import Kind, kind
from tests.infra.simulation.wire import UNKNOWN, reveal

DATA = Path(__file__).parents[3] / "shared" / "data" / "armtypes.json"

_REQUIRED, _READ_ONLY = 1, 2
# What every type has of itself: the first two are the address.
_OWN = {"id", "name", "type", "apiversion"}
# As long as what Pulumi puts behind a logical name.
_SUFFIX = "0" * 8

# What the SDK calls by other names than Azure does.
_RENAMED = {
    "apimanagement:Api": {"translateRequiredQueryParametersConduct": "translateRequiredQueryParameters"},
    "applicationinsights:WebTest": {"webTestKind": "Kind", "webTestName": "Name", "location": "Id"},
}

_Type = Mapping[str, Any]


class Types:
    """The types that are described, by Pulumi's token without its package."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._described = described

    @classmethod
    def read(cls) -> "Types":
        """Those of the file. It must be there."""
        return cls(json.loads(DATA.read_text()))

    def arm(self, token: str) -> tuple[str, str] | None:
        """A type's name in Azure and the version of its description; None when it is not described."""
        found = self._described.get(_short(token))
        return (found["arm"], found["version"]) if found else None

    def faults(self, token: str, name: str, inputs: Mapping[str, Any]) -> Sequence[str]:
        """What is wrong with a resource of this type, logical name and inputs on the wire, in words."""
        found, known = self._described[_short(token)], kind(token)
        if known is None:
            return [f"{token}: is not in the catalog"]
        renamed, named = _RENAMED.get(_short(token), {}), {known.names[-1]: _name(known, name, inputs)}
        body = {
            key: value
            for key, value in {**reveal(inputs), **named}.items()
            if key not in known.address_inputs or key in renamed
        }
        checker, root = _Checker(found["types"], renamed), found["types"][found["root"]]
        own = root["properties"]["name"]["type"]
        return [
            *checker.value(named[known.names[-1]], own, f"{token} name"),
            *checker.body(body, root, token),
        ]


def _short(token: str) -> str:
    return token.removeprefix("azure-native:")


def _name(known: Kind, name: str, inputs: Mapping[str, Any]) -> Any:
    made_up = name if len(known.names) > 1 else f"{name}{_SUFFIX}"
    return inputs.get(known.names[-1], made_up)


class _Checker:
    """Walks a value and the description of its type side by side."""

    def __init__(self, types: Sequence[_Type], renamed: Mapping[str, str]) -> None:
        self._types = types
        self._renamed = renamed

    def body(self, value: Mapping[str, Any], root: _Type, path: str) -> Iterator[str]:
        """The faults of a whole resource."""
        own = {key: each for key, each in root["properties"].items() if _plain(key) not in _OWN}
        yield from self._object(value, {**root, "properties": own}, path)

    def value(self, value: Any, reference: Any, path: str) -> Iterator[str]:
        """The faults of a value of the type that is referred to."""
        described = self._types[reference["$ref"]]
        if value is None or value == UNKNOWN or described["$type"] == "AnyType":
            return
        checks = {
            "ObjectType": self._object,
            "DiscriminatedObjectType": self._discriminated,
            "ArrayType": self._array,
            "UnionType": self._union,
            "StringType": _string,
            "IntegerType": _number,
            "BooleanType": _boolean,
            "StringLiteralType": _literal,
        }
        yield from checks[described["$type"]](value, described, path)

    def _object(self, value: Any, described: _Type, path: str) -> Iterator[str]:
        if isinstance(value, list) and "additionalProperties" in described:
            # The SDK takes a list of ids where Azure has them as the keys of a map.
            value = {str(each): {} for each in value}
        if not isinstance(value, Mapping):
            yield f"{path}: {value!r} is no {described['name']}"
            return
        own = {_plain(key): (key, each) for key, each in described["properties"].items()}
        value = {
            self._renamed[key] if self._renamed.get(key) in described["properties"] else key: each
            for key, each in value.items()
        }
        direct = {key: each for key, each in value.items() if _plain(key) in own}
        rest = {key: each for key, each in value.items() if _plain(key) not in own}
        for key, each in direct.items():
            yield from self._property(each, own[_plain(key)][1], f"{path}.{key}")
        given = {_plain(key) for key in direct}
        if "properties" in own and "properties" not in given and (rest or own["properties"][1]["flags"] & _REQUIRED):
            yield from self.value(rest, own["properties"][1]["type"], path)
            given.add("properties")
        elif "additionalProperties" in described:
            for key, each in rest.items():
                yield from self.value(each, described["additionalProperties"], f"{path}.{key}")
        else:
            yield from (f"{path}.{key}: {described['name']} has no such property" for key in rest)
        for plain, (key, each) in own.items():
            if each["flags"] & _REQUIRED and plain not in given:
                yield f"{path}.{key}: is required"

    def _property(self, value: Any, described: _Type, path: str) -> Iterator[str]:
        if described["flags"] & _READ_ONLY:
            yield f"{path}: is Azure's to say"
        yield from self.value(value, described["type"], path)

    def _discriminated(self, value: Any, described: _Type, path: str) -> Iterator[str]:
        word = _plain(described["discriminator"])
        chosen = next((each for key, each in value.items() if _plain(key) == word), None)
        if chosen not in described["elements"]:
            yield f"{path}.{described['discriminator']}: {chosen!r} is none of {sorted(described['elements'])}"
            return
        element = self._types[described["elements"][chosen]["$ref"]]
        yield from self._object(
            value, {**element, "properties": {**described["baseProperties"], **element["properties"]}}, path
        )

    def _array(self, value: Any, described: _Type, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        if not described.get("minLength", 0) <= len(value) <= described.get("maxLength", len(value)):
            yield f"{path}: {len(value)} elements are too few or too many"
        for place, each in enumerate(value):
            yield from self.value(each, described["itemType"], f"{path}[{place}]")

    def _union(self, value: Any, described: _Type, path: str) -> Iterator[str]:
        elements = [(each, self._types[each["$ref"]]) for each in described["elements"]]
        literals = [each["value"] for _, each in elements if each["$type"] == "StringLiteralType"]
        if literals and isinstance(value, str):
            # Azure leaves most of its enumerations open; what is not in them is a slip all the same.
            if value not in literals:
                yield f"{path}: {value!r} is none of {literals}"
            return
        yield from min((list(self.value(value, each, path)) for each, _ in elements), key=len)


def _string(value: Any, described: _Type, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path}: {value!r} is no text"
        return
    if not described.get("minLength", 0) <= len(value) <= described.get("maxLength", len(value)):
        yield f"{path}: {value!r} is too short or too long"
    if "pattern" in described and not re.search(described["pattern"], value):
        yield f"{path}: {value!r} does not look like {described['pattern']}"


def _number(value: Any, described: _Type, path: str) -> Iterator[str]:
    # The description knows whole numbers only, and calls every number one.
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{path}: {value!r} is no number"
    elif not described.get("minValue", value) <= value <= described.get("maxValue", value):
        yield f"{path}: {value} is too small or too large"


def _boolean(value: Any, _: _Type, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{path}: {value!r} is neither true nor false"


def _literal(value: Any, described: _Type, path: str) -> Iterator[str]:
    if value != described["value"]:
        yield f"{path}: {value!r} is not {described['value']!r}"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())
