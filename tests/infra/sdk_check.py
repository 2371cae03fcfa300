"""Checks a resource's inputs against the SDK's own classes: names, what is required, types, enumerated values.

An SDK that writes a value nobody knows says nothing; Azure would, after minutes. Enumerations are taken as closed.
"""

import collections.abc
import importlib
import inspect
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

import pulumi
from pulumi import _types

from tests.infra.simulation.wire import UNKNOWN, is_secret

# Two types of Azure's have one name in the SDK here, and the enumeration is the other one's.
_CLASHES = {"azure-native:monitor:ScheduledQueryRule.criteria.allOf.operator"}


def faults(token: str, inputs: Mapping[str, Any]) -> Sequence[str]:
    """What is wrong with the inputs, on the wire, of a resource of this type, in words."""
    return list(_object(inputs, _arguments(token), token))


def api_version(token: str) -> str:
    """The version of Azure's interface that the SDK uses for this type."""
    module, name = _place(token)
    constructor = vars(getattr(module, name))["__init__"]
    documented = typing.get_overloads(constructor)[0].__doc__ or ""
    found = re.search(r"Uses Azure REST API version ([0-9a-z-]+)\.", documented)
    return found[1] if found else ""


def _place(token: str) -> tuple[Any, str]:
    package, module, name = token.split(":")
    imported = f"pulumi_{package.replace('-', '_')}"
    if package == "azure-native":
        imported += f".{module}"
    return importlib.import_module(imported), name


def _arguments(token: str) -> type:
    module, name = _place(token)
    # Where a nested input has the name, the resource's own arguments have the longer one.
    found: type = getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")
    return found


def _object(value: Any, cls: type, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: {value!r} is no {cls.__name__}"
        return
    types = _types.input_type_types(cls)
    given = {key: each for key, each in value.items() if each is not None}
    yield from (f"{path}.{key}: {cls.__name__} has no such input" for key in sorted(given.keys() - types.keys()))
    yield from (f"{path}.{key}: is required" for key in sorted(_required(cls) - given.keys()))
    for key in sorted(given.keys() & types.keys()):
        yield from _value(given[key], types[key], f"{path}.{key}")


def _required(cls: type) -> set[str]:
    names = _types.input_type_py_to_pulumi_names(cls)
    parameters = inspect.signature(cls).parameters.values()
    return {names[each.name] for each in parameters if each.name in names and each.default is each.empty}


def _value(value: Any, wanted: Any, path: str) -> Iterator[str]:
    if is_secret(value):
        value = value["value"]
    if value is None or value == UNKNOWN:
        return
    options = list(_options(wanted))
    if re.sub(r"\[\d+\]", "", path) in _CLASHES:
        options = [str]
    if enumerated := [each for each in options if isinstance(each, type) and issubclass(each, Enum)]:
        options = enumerated
    found = [list(_one(value, option, path)) for option in options]
    yield from min(found, key=len, default=[])


def _options(wanted: Any) -> Iterator[Any]:
    """What a type may be, without the ways in which Pulumi lets it come later or be absent."""
    if typing.get_origin(wanted) is typing.Union:
        for each in typing.get_args(wanted):
            yield from _options(each)
    elif (
        wanted is not type(None)
        and typing.get_origin(wanted) not in (collections.abc.Awaitable, pulumi.Output)
        and not typing.is_typeddict(wanted)
    ):
        yield wanted


def _one(value: Any, wanted: Any, path: str) -> Iterator[str]:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is collections.abc.Sequence:
        yield from _list(value, arguments[0], path)
    elif origin is collections.abc.Mapping:
        yield from _map(value, arguments[1], path)
    elif not isinstance(wanted, type):
        return
    elif _types.is_input_type(wanted):
        yield from _object(value, wanted, path)
    elif issubclass(wanted, Enum):
        known = [each.value for each in wanted]
        if value not in known:
            yield f"{path}: {value!r} is none of {known}"
    elif not _is(value, wanted):
        yield f"{path}: {value!r} is no {wanted.__name__}"


def _list(value: Any, element: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r} is no list"
        return
    for place, each in enumerate(value):
        yield from _value(each, element, f"{path}[{place}]")


def _map(value: Any, element: Any, path: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{path}: {value!r} is no map"
        return
    for key, each in value.items():
        yield from _value(each, element, f"{path}.{key}")


def _is(value: Any, wanted: type) -> bool:
    if wanted in (int, float):
        # The wire has one kind of number.
        return isinstance(value, int | float) and not isinstance(value, bool) and value == wanted(value)
    return isinstance(value, wanted) or wanted is object
