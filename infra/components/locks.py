"""Locks on what holds data: in production nobody deletes it by mistake, nor anything that lies under it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization


@dataclass(frozen=True, kw_only=True)
class LocksArgs:
    """The ids of what is held, each by a name, and whatever has something under it."""

    held: Mapping[str, pulumi.Input[str]]
    under: Sequence[pulumi.Resource]


class Locks(pulumi.ComponentResource):
    """Made last, so that they go first: a lock refuses the end of all that lies under it."""

    def __init__(self, name: str, args: LocksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Locks", name, None, opts)
        for each, scope in args.held.items():
            authorization.ManagementLockByScope(
                each,
                scope=scope,
                level="CanNotDelete",
                notes="Holds what cannot be made again.",
                opts=pulumi.ResourceOptions(parent=self, depends_on=args.under),
            )
        self.register_outputs({})
