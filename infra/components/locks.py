"""Management locks: in production Azure refuses to delete the resources that hold data, and everything under them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization


@dataclass(frozen=True, kw_only=True)
class LocksArgs:
    """The arguments of `Locks`: the resource id of each lock's scope by the lock's name."""

    scopes: Mapping[str, pulumi.Input[str]]
    # Every component with resources under a scope. `pulumi destroy` then deletes the locks first.
    after: Sequence[pulumi.Resource]


class Locks(pulumi.ComponentResource):
    """A CanNotDelete lock on each scope. Created last and deleted first: a lock blocks deletion under its scope."""

    def __init__(self, name: str, args: LocksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Locks", name, None, opts)
        for lock, scope in args.scopes.items():
            authorization.ManagementLockByScope(
                lock,
                scope=scope,
                level="CanNotDelete",
                notes="Holds data that cannot be recreated.",
                opts=pulumi.ResourceOptions(parent=self, depends_on=args.after),
            )
        self.register_outputs({})
