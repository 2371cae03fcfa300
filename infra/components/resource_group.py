"""The resource group of the stack, and the name, location and tags that every resource in it uses."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import resources

from stack import SYSTEM, Stack

# Azure limits the name to 90 characters; Pulumi appends 8 random ones.
_NAME_LENGTH_MAX = 80


@dataclass(frozen=True, kw_only=True)
class ResourceGroup:
    """A resource group, its location, and the tags of everything in it."""

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    location: str
    tags: Mapping[str, str]


def create_resource_group(stack: Stack) -> ResourceGroup:
    """Create the resource group that holds every other resource."""
    name = f"{SYSTEM}-{stack.name}"[:_NAME_LENGTH_MAX].rstrip(".-")
    group = resources.ResourceGroup(name, location=stack.location, tags=stack.tags)
    return ResourceGroup(id=group.id, name=group.name, location=stack.location, tags=stack.tags)
