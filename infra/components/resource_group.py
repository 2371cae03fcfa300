"""The resource group of the stack, and the name, location and tags that every resource in it uses."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import resources

from components.known_name import known_name
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
    """Create the resource group that holds every other resource, but for those of a second region."""
    return _create(f"{SYSTEM}-{stack.name}", stack, stack.location, opts=None)


def create_standby_group(stack: Stack, location: str, opts: pulumi.ResourceOptions) -> ResourceGroup:
    """Create the resource group of a second region. Azure may refuse updates in a group whose region is lost."""
    return _create(f"{SYSTEM}-standby-{stack.name}", stack, location, opts=opts)


def _create(name: str, stack: Stack, location: str, *, opts: pulumi.ResourceOptions | None) -> ResourceGroup:
    logical_name = name[:_NAME_LENGTH_MAX].rstrip(".-")
    group = resources.ResourceGroup(logical_name, location=location, tags=stack.tags, opts=opts)
    return ResourceGroup(id=group.id, name=known_name(group), location=location, tags=stack.tags)
