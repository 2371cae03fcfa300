"""Where things are made, and what every component is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import resources

from stack import SYSTEM, Stack

# Azure takes 90 characters of a resource group's name, and 8 of them are made up.
_GROUP_NAME_LENGTH_MAX = 80


@dataclass(frozen=True, kw_only=True)
class Place:
    """A resource group: its id and name, where it is, and the tags of everything in it."""

    group_id: pulumi.Output[str]
    group: pulumi.Output[str]
    location: str
    tags: Mapping[str, str]


def place(stack: Stack) -> Place:
    """The resource group that everything is in."""
    name = f"{SYSTEM}-{stack.name}"[:_GROUP_NAME_LENGTH_MAX].rstrip(".-")
    group = resources.ResourceGroup(name, location=stack.location, tags=stack.tags)
    return Place(group_id=group.id, group=group.name, location=stack.location, tags=stack.tags)
