"""A check of a resource's inputs against the SDK's classes: names, required inputs, types, enumerated values.

The SDK itself accepts a value outside an enumeration; Azure would reject it minutes later.
"""

import collections.abc
import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import pulumi
from pulumi import _types

from tests.infra.simulation.wire import UNKNOWN, is_secret

# In the SDK this input has the enumeration of another type with the same name.
_NAME_CLASHES = {"azure-native:monitor:ScheduledQueryRule.criteria.allOf.operator"}


def input_faults(token: str, inputs: Mapping[str, Any]) -> Sequence[str]:
    """Return a sentence for each fault in the inputs of a resource, which are in wire format."""
    return list(_object_faults(inputs, _arguments_class(token), token))


class InputClasses(NamedTuple):
    """A class of the SDK with inputs, by which the classes of the objects below it are found."""

    cls: type

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.cls.__name__

    def below(self, key: str) -> "Sequence[InputClasses]":
        """Return the classes that an input may have, or the objects in its list; none if it has no class."""
        options = list(_options(_types.input_type_types(self.cls).get(key)))
        options += [each for option in options if _is_list(option) for each in _options(typing.get_args(option)[0])]
        return [InputClasses(each) for each in options if isinstance(each, type) and _types.is_input_type(each)]


def _is_list(option: Any) -> bool:
    return typing.get_origin(option) is collections.abc.Sequence


def input_classes(token: str) -> InputClasses:
    """Return the class of a resource's inputs."""
    return InputClasses(_arguments_class(token))


def api_version(token: str) -> str:
    """Return the version of the Azure API that the SDK uses for a type."""
    module, name = _module_and_name(token)
    constructor = vars(getattr(module, name))["__init__"]
    docstring = typing.get_overloads(constructor)[0].__doc__ or ""
    version = re.search(r"Uses Azure REST API version ([0-9a-z-]+)\.", docstring)
    return version[1] if version else ""


def _module_and_name(token: str) -> tuple[Any, str]:
    package, module, name = token.split(":")
    module_name = f"pulumi_{package.replace('-', '_')}"
    if package == "azure-native":
        module_name += f".{module}"
    return importlib.import_module(module_name), name


def _arguments_class(token: str) -> type:
    module, name = _module_and_name(token)
    # The longer name is used where a nested input has the shorter one.
    arguments: type = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
    return arguments


def _object_faults(value: Any, cls: type, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: {value!r} is not a {cls.__name__}"
        return
    types = _types.input_type_types(cls)
    present = {key: each for key, each in value.items() if each is not None}
    yield from (f"{path}.{key}: {cls.__name__} has no such input" for key in sorted(present.keys() - types.keys()))
    yield from (f"{path}.{key}: is required" for key in sorted(_required_inputs(cls) - present.keys()))
    for key in sorted(present.keys() & types.keys()):
        yield from _value_faults(present[key], types[key], f"{path}.{key}")


def _required_inputs(cls: type) -> set[str]:
    names = _types.input_type_py_to_pulumi_names(cls)
    parameters = inspect.signature(cls).parameters.values()
    return {names[each.name] for each in parameters if each.name in names and each.default is each.empty}


def _value_faults(value: Any, annotation: Any, path: str) -> Iterator[str]:
    if is_secret(value):
        value = value["value"]
    if value is None or value == UNKNOWN:
        return
    options = list(_options(annotation))
    if re.sub(r"\[\d+\]", "", path) in _NAME_CLASHES:
        options = [str]
    if enumerations := [each for each in options if isinstance(each, type) and issubclass(each, Enum)]:
        options = enumerations
    faults = [list(_option_faults(value, option, path)) for option in options]
    yield from min(faults, key=len, default=[])


def _options(annotation: Any) -> Iterator[Any]:
    """Yield the members of a union, without None, typed dictionaries and the awaitable forms of an input."""
    if typing.get_origin(annotation) is typing.Union:
        for each in typing.get_args(annotation):
            yield from _options(each)
    elif (
        annotation is not type(None)
        and typing.get_origin(annotation) not in (collections.abc.Awaitable, pulumi.Output)
        and not typing.is_typeddict(annotation)
    ):
        yield annotation


def _option_faults(value: Any, option: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(option), typing.get_args(option)
    if origin is collections.abc.Sequence:
        yield from _list_faults(value, arguments[0], path)
    elif origin is collections.abc.Mapping:
        yield from _map_faults(value, arguments[1], path)
    elif not isinstance(option, type):
        return
    elif _types.is_input_type(option):
        yield from _object_faults(value, option, path)
    elif issubclass(option, Enum):
        members = [each.value for each in option]
        if value not in members:
            yield f"{path}: {value!r} is not one of {members}"
    elif not _is_instance(value, option):
        yield f"{path}: {value!r} is not a {option.__name__}"


def _list_faults(value: Any, element: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r} is not a list"
        return
    for index, each in enumerate(value):
        yield from _value_faults(each, element, f"{path}[{index}]")


def _map_faults(value: Any, element: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: {value!r} is not a map"
        return
    for key, each in value.items():
        yield from _value_faults(each, element, f"{path}.{key}")


def _is_instance(value: Any, cls: type) -> bool:
    if cls in (int, float):
        # The wire format has one kind of number.
        return isinstance(value, int | float) and not isinstance(value, bool) and value == cls(value)
    return isinstance(value, cls) or cls is object
