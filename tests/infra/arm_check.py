"""A check of a resource's inputs against Azure's own type descriptions (`arm_types/README.md`).

They have exactly the API versions that the SDK uses. The SDK flattens the objects that Azure nests in `properties`,
and spells some names differently; the check reverses both.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.infra.simulation.catalog import ResourceType, resource_type
from tests.infra.simulation.wire import UNKNOWN, reveal

DATA = Path(__file__).with_name("arm_types") / "types.json"

_REQUIRED_FLAG, _READ_ONLY_FLAG = 1, 2
# Properties that every type has and that are not inputs.
_COMMON_PROPERTIES = {"id", "name", "type", "apiversion"}
# Stands for the eight characters that Pulumi appends to a logical name.
_SUFFIX = "0" * 8

# Azure's names of inputs that the SDK spells differently.
_AZURE_NAMES = {
    "apimanagement:Api": {"translateRequiredQueryParametersConduct": "translateRequiredQueryParameters"},
    "applicationinsights:WebTest": {"webTestKind": "Kind", "webTestName": "Name", "location": "Id"},
}

_Type = Mapping[str, Any]


class ArmTypes:
    """The descriptions by Pulumi's token without its package."""

    def __init__(self, descriptions: Mapping[str, Any]) -> None:
        self._descriptions = descriptions

    @classmethod
    def read(cls) -> "ArmTypes":
        """Read the descriptions."""
        return cls(json.loads(DATA.read_text()))

    def name_and_version(self, token: str) -> tuple[str, str] | None:
        """Return a type's ARM name and the API version of its description; None when it has none."""
        description = self._descriptions.get(_short_token(token))
        return (description["arm"], description["version"]) if description else None

    def input_faults(self, token: str, name: str, inputs: Mapping[str, Any]) -> Sequence[str]:
        """Return a sentence for each fault of a resource with this logical name and these inputs in wire format."""
        description, azure_type = self._descriptions[_short_token(token)], resource_type(token)
        if azure_type is None:
            return [f"{token}: is not in the catalog"]
        name_input = azure_type.name_inputs[-1]
        names = _AZURE_NAMES.get(_short_token(token), {})
        resource_name = _resource_name(azure_type, name, inputs)
        body = {
            key: value
            for key, value in {**reveal(inputs), name_input: resource_name}.items()
            if key not in azure_type.id_inputs or key in names
        }
        checker, root = _Checker(description["types"], names), description["types"][description["root"]]
        name_type = root["properties"]["name"]["type"]
        return [
            *checker.value_faults(resource_name, name_type, f"{token} name"),
            *checker.body_faults(body, root, token),
        ]


def _short_token(token: str) -> str:
    return token.removeprefix("azure-native:")


def _resource_name(azure_type: ResourceType, name: str, inputs: Mapping[str, Any]) -> Any:
    generated_name = name if len(azure_type.name_inputs) > 1 else f"{name}{_SUFFIX}"
    return inputs.get(azure_type.name_inputs[-1], generated_name)


class _Checker:
    """Compares values with the descriptions of their types."""

    def __init__(self, types: Sequence[_Type], azure_names: Mapping[str, str]) -> None:
        self._types = types
        self._azure_names = azure_names

    def body_faults(self, value: Mapping[str, Any], root: _Type, path: str) -> Iterator[str]:
        """Yield the faults of a whole resource."""
        properties = {key: each for key, each in root["properties"].items() if _plain(key) not in _COMMON_PROPERTIES}
        yield from self._object_faults(value, {**root, "properties": properties}, path)

    def value_faults(self, value: Any, reference: Any, path: str) -> Iterator[str]:
        """Yield the faults of a value of the referenced type."""
        arm_type = self._types[reference["$ref"]]
        if value is None or value == UNKNOWN or arm_type["$type"] == "AnyType":
            return
        checks = {
            "ObjectType": self._object_faults,
            "DiscriminatedObjectType": self._discriminated_object_faults,
            "ArrayType": self._array_faults,
            "UnionType": self._union_faults,
            "StringType": _string_faults,
            "IntegerType": _number_faults,
            "BooleanType": _boolean_faults,
            "StringLiteralType": _literal_faults,
        }
        yield from checks[arm_type["$type"]](value, arm_type, path)

    def _object_faults(self, value: Any, arm_type: _Type, path: str) -> Iterator[str]:
        if isinstance(value, list) and "additionalProperties" in arm_type:
            # The SDK has a list of ids where Azure has a map with the ids as keys.
            value = {str(each): {} for each in value}
        if not isinstance(value, Mapping):
            yield f"{path}: {value!r} is not a {arm_type['name']}"
            return
        properties = {_plain(key): (key, each) for key, each in arm_type["properties"].items()}
        value = {self._azure_name(key, arm_type): each for key, each in value.items()}
        rest = {key: each for key, each in value.items() if _plain(key) not in properties}
        present = {_plain(key) for key in value} & properties.keys()
        for key, each in value.items():
            if key not in rest:
                yield from self._property_faults(each, properties[_plain(key)][1], f"{path}.{key}")
        if self._has_flattened_properties(properties, present, rest):
            yield from self.value_faults(rest, properties["properties"][1]["type"], path)
            present.add("properties")
        else:
            yield from self._additional_faults(rest, arm_type, path)
        for plain, (key, each) in properties.items():
            if each["flags"] & _REQUIRED_FLAG and plain not in present:
                yield f"{path}.{key}: is required"

    def _azure_name(self, key: str, arm_type: _Type) -> str:
        name = self._azure_names.get(key, key)
        return name if name in arm_type["properties"] else key

    @staticmethod
    def _has_flattened_properties(
        properties: Mapping[str, tuple[str, _Type]], present: set[str], rest: Mapping[str, Any]
    ) -> bool:
        if "properties" not in properties or "properties" in present:
            return False
        return bool(rest or properties["properties"][1]["flags"] & _REQUIRED_FLAG)

    def _additional_faults(self, rest: Mapping[str, Any], arm_type: _Type, path: str) -> Iterator[str]:
        for key, each in rest.items():
            if "additionalProperties" in arm_type:
                yield from self.value_faults(each, arm_type["additionalProperties"], f"{path}.{key}")
            else:
                yield f"{path}.{key}: {arm_type['name']} has no such property"

    def _property_faults(self, value: Any, arm_property: _Type, path: str) -> Iterator[str]:
        if arm_property["flags"] & _READ_ONLY_FLAG:
            yield f"{path}: is read-only"
        yield from self.value_faults(value, arm_property["type"], path)

    def _discriminated_object_faults(self, value: Any, arm_type: _Type, path: str) -> Iterator[str]:
        discriminator, elements = arm_type["discriminator"], arm_type["elements"]
        choice = next((each for key, each in value.items() if _plain(key) == _plain(discriminator)), None)
        if choice not in elements:
            yield f"{path}.{discriminator}: {choice!r} is not one of {sorted(elements)}"
            return
        element = self._types[elements[choice]["$ref"]]
        properties = {**arm_type["baseProperties"], **element["properties"]}
        yield from self._object_faults(value, {**element, "properties": properties}, path)

    def _array_faults(self, value: Any, arm_type: _Type, path: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is not a list"
            return
        if not arm_type.get("minLength", 0) <= len(value) <= arm_type.get("maxLength", len(value)):
            yield f"{path}: {len(value)} elements are too few or too many"
        for index, each in enumerate(value):
            yield from self.value_faults(each, arm_type["itemType"], f"{path}[{index}]")

    def _union_faults(self, value: Any, arm_type: _Type, path: str) -> Iterator[str]:
        elements = [(each, self._types[each["$ref"]]) for each in arm_type["elements"]]
        literals = [each["value"] for _, each in elements if each["$type"] == "StringLiteralType"]
        if literals and isinstance(value, str):
            # Azure declares most enumerations as open; a value outside one is a mistake all the same.
            if value not in literals:
                yield f"{path}: {value!r} is not one of {literals}"
            return
        yield from min((list(self.value_faults(value, each, path)) for each, _ in elements), key=len)


def _string_faults(value: Any, arm_type: _Type, path: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{path}: {value!r} is not a string"
        return
    if not arm_type.get("minLength", 0) <= len(value) <= arm_type.get("maxLength", len(value)):
        yield f"{path}: {value!r} is too short or too long"
    if "pattern" in arm_type and not re.search(arm_type["pattern"], value):
        yield f"{path}: {value!r} does not match {arm_type['pattern']}"


def _number_faults(value: Any, arm_type: _Type, path: str) -> Iterator[str]:
    # The descriptions have one type, IntegerType, for all numbers.
    if not isinstance(value, int | float) or isinstance(value, bool):
        yield f"{path}: {value!r} is not a number"
    elif not arm_type.get("minValue", value) <= value <= arm_type.get("maxValue", value):
        yield f"{path}: {value} is too small or too large"


def _boolean_faults(value: Any, _: _Type, path: str) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{path}: {value!r} is not a boolean"


def _literal_faults(value: Any, arm_type: _Type, path: str) -> Iterator[str]:
    if value != arm_type["value"]:
        yield f"{path}: {value!r} is not {arm_type['value']!r}"


def _plain(name: str) -> str:
    """Return the name in lower case, without separators."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())
