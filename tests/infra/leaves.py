"""Walks through the values of a resource's inputs and outputs."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.infra.simulation.wire import is_secret


def plain_leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of every leaf that is not marked secret."""
    if is_secret(value):
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from plain_leaves(each, f"{path}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from plain_leaves(each, f"{path}[]")
    else:
        yield path, value


def secret_values(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every value that is marked secret, with its mark."""
    if is_secret(value):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from secret_values(each)
    elif isinstance(value, list):
        for each in value:
            yield from secret_values(each)
