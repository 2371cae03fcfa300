"""The log's place: a Cosmos DB account that no key opens, and containers as the engine describes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
from pulumi_azure_native import cosmosdb

from components.identity import Identity
from components.roles import COSMOS_DATA_CONTRIBUTOR, Grant, assignment_name
from components.site import Site
from stack import SYSTEM

# Entries stay this much longer than they are shown, as the engine demands (s).
TTL_MARGIN_SECONDS = 7_200
DAY_SECONDS = 86_400
# The least that grows and shrinks by itself (RU/s); record, approvals and audit log need little.
THROUGHPUT_MIN = 1_000


class Container(NamedTuple):
    """A container: its partition key, the properties that are indexed, alone and together, and whether it ages."""

    name: str
    key: str
    searched: Sequence[str]
    together: Sequence[Sequence[str]]
    ages: bool


CONTAINERS = (
    Container(
        "events",
        "segment",
        ["sequence", "time", "identity", "eventid", "source", "type", "subject", "org", "app", "instance", "resource"],
        [
            ["org", "app", "sequence"],
            ["org", "app", "type", "sequence"],
            ["subject", "sequence"],
            ["type", "sequence"],
            ["resource", "sequence"],
            ["instance", "sequence"],
            ["time", "sequence"],
        ],
        ages=True,
    ),
    Container("control", "kind", [], [], ages=False),
    Container("access", "kind", ["time", "organisation"], [], ages=False),
)


@dataclass(frozen=True, kw_only=True)
class StoreArgs:
    """Where the store is, who reads and writes it, and who looks at it."""

    site: Site
    identity: Identity


class Store(pulumi.ComponentResource):
    """The account, its database and containers, and the one identity that may read and write in it."""

    url: pulumi.Output[str]
    account_id: pulumi.Output[str]

    def __init__(self, name: str, args: StoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("eventfeed:infra:Store", name, None, opts)
        self._args = args
        self._mine = pulumi.ResourceOptions(parent=self, protect=args.site.stack.production)
        account = self._account()
        database = cosmosdb.SqlResourceSqlDatabase(
            SYSTEM,
            resource_group_name=args.site.place.group,
            account_name=account.name,
            database_name=SYSTEM,
            resource=cosmosdb.SqlDatabaseResourceArgs(id=SYSTEM),
            tags=args.site.place.tags,
            opts=self._mine,
        )
        for container in CONTAINERS:
            self._container(container, account, database=database)
        self._grant(account, database)
        if args.site.network:
            args.site.network.endpoint("store", "Sql", account.id, parent=self)
        args.site.observability.watch("store", account.id, logs=["ControlPlaneRequests"], parent=self)
        # https://{account}.documents.azure.com:443/, as the account itself says.
        host = account.document_endpoint.apply(lambda endpoint: endpoint.removeprefix("https://").split("/")[0])
        self.account_id = account.id
        self.url = pulumi.Output.concat("cosmos://", host, "/", database.name)
        self.register_outputs({"url": self.url})

    def _account(self) -> cosmosdb.DatabaseAccount:
        args, production = self._args, self._args.site.stack.production
        return cosmosdb.DatabaseAccount(
            SYSTEM,
            resource_group_name=args.site.place.group,
            location=args.site.place.location,
            kind="GlobalDocumentDB",
            database_account_offer_type=cosmosdb.DatabaseAccountOfferType.STANDARD,
            # One region: after a forced failover to another, the newest seconds might be gone.
            locations=[
                cosmosdb.LocationArgs(
                    location_name=args.site.place.location, failover_priority=0, is_zone_redundant=production
                )
            ],
            enable_multiple_write_locations=False,
            enable_automatic_failover=False,
            consistency_policy=cosmosdb.ConsistencyPolicyArgs(
                default_consistency_level=cosmosdb.DefaultConsistencyLevel.SESSION
            ),
            capabilities=[] if production else [cosmosdb.CapabilityArgs(name="EnableServerless")],
            backup_policy=cosmosdb.ContinuousModeBackupPolicyArgs(
                type="Continuous",
                continuous_mode_properties=cosmosdb.ContinuousModePropertiesArgs(
                    tier="Continuous30Days" if production else "Continuous7Days"
                ),
            ),
            disable_local_auth=True,
            disable_key_based_metadata_write_access=True,
            minimal_tls_version="Tls12",
            public_network_access="Disabled" if production else "Enabled",
            tags=args.site.place.tags,
            opts=self._mine,
        )

    def _container(
        self, wanted: Container, account: cosmosdb.DatabaseAccount, *, database: cosmosdb.SqlResourceSqlDatabase
    ) -> None:
        keep_seconds = self._args.site.stack.retention_days * DAY_SECONDS + TTL_MARGIN_SECONDS
        cosmosdb.SqlResourceSqlContainer(
            wanted.name,
            resource_group_name=self._args.site.place.group,
            account_name=account.name,
            database_name=database.name,
            container_name=wanted.name,
            resource=cosmosdb.SqlContainerResourceArgs(
                id=wanted.name,
                partition_key=cosmosdb.ContainerPartitionKeyArgs(kind="Hash", version=2, paths=[f"/{wanted.key}"]),
                indexing_policy=_indexing(wanted),
                default_ttl=keep_seconds if wanted.ages else None,
            ),
            options=self._throughput(wanted),
            tags=self._args.site.place.tags,
            opts=self._mine,
        )

    def _throughput(self, wanted: Container) -> cosmosdb.CreateUpdateOptionsArgs | None:
        """Most of it is for the log. Without servers there is nothing to set, and Azure refuses it."""
        if not self._args.site.stack.production:
            return None
        most = self._args.site.stack.throughput if wanted.ages else THROUGHPUT_MIN
        return cosmosdb.CreateUpdateOptionsArgs(autoscale_settings=cosmosdb.AutoscaleSettingsArgs(max_throughput=most))

    def _grant(self, account: cosmosdb.DatabaseAccount, database: cosmosdb.SqlResourceSqlDatabase) -> None:
        """The service may read and write documents of this database, and change nothing else."""
        scope = pulumi.Output.concat(account.id, "/dbs/", database.name)
        grant = Grant(principal_id=self._args.identity.principal_id, role=COSMOS_DATA_CONTRIBUTOR, scope=scope)
        cosmosdb.SqlResourceSqlRoleAssignment(
            SYSTEM,
            resource_group_name=self._args.site.place.group,
            account_name=account.name,
            role_assignment_id=assignment_name(grant),
            role_definition_id=pulumi.Output.concat(account.id, "/sqlRoleDefinitions/", grant.role),
            principal_id=grant.principal_id,
            scope=scope,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _indexing(wanted: Container) -> cosmosdb.IndexingPolicyArgs:
    return cosmosdb.IndexingPolicyArgs(
        automatic=True,
        indexing_mode="consistent",
        included_paths=[cosmosdb.IncludedPathArgs(path=f"/{each}/?") for each in wanted.searched],
        excluded_paths=[cosmosdb.ExcludedPathArgs(path="/*")],
        composite_indexes=[
            [cosmosdb.CompositePathArgs(path=f"/{each}", order="ascending") for each in index]
            for index in wanted.together
        ],
    )
