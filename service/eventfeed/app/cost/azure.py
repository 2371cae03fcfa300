"""Request units, partitions, throughput and prices of Azure Cosmos DB, as Microsoft documents them.

Prices are list prices of a region in the United States without a discount. Other regions cost up to some ten per cent
more.
"""

from eventfeed.app.cost.rules import Curve, Rule

_DOCS = "https://learn.microsoft.com/azure/cosmos-db/"
_UNITS = f"{_DOCS}understand-request-unit-consumption"
_PARTITIONS = f"{_DOCS}partitioning-overview"
_QUOTAS = f"{_DOCS}concepts-limits"
_AUTOSCALE = f"{_DOCS}autoscale-faq"
_BILL = f"{_DOCS}understand-your-bill"
_BACKUP = f"{_DOCS}continuous-backup-restore-introduction"

READ_UNITS = Curve(
    "read of a document",
    (
        *((1, 1.0), (2, 1.04), (4, 1.14), (8, 1.33), (16, 1.67), (32, 2.19), (64, 4.76), (128, 9.95), (256, 20.28)),
        *((512, 40.95), (1024, 145.9), (2048, 291.8)),
    ),
    "KB (RU)",
    _UNITS,
)
WRITE_UNITS = Curve(
    "write of a document without its index",
    (
        *((1, 4.95), (2, 6.29), (4, 6.67), (8, 7.04), (16, 9.52), (32, 11.23), (64, 22.67), (128, 48.19)),
        *((256, 98.29), (512, 184.57), (1024, 625.0), (2048, 1250.0)),
    ),
    "KB (RU)",
    _UNITS,
)
INDEX_TERM_UNITS = Rule("index term of a write", 0.2, "RU", _UNITS)
QUERY_UNITS = Rule("query, on each physical partition that it asks (Microsoft: 2 to 3)", 2.5, "RU", _PARTITIONS)

PARTITION_GB = Rule("storage of a physical partition", 50, "GB", _PARTITIONS)
PARTITION_UNITS = Rule("throughput of a physical partition", 10_000, "RU/s", _PARTITIONS)
CONTAINER_UNITS = Rule("throughput of a container, more by a support request", 1_000_000, "RU/s", _QUOTAS)

AUTOSCALE_MIN = Rule("smallest autoscale maximum, also its step", 1_000, "RU/s", _AUTOSCALE)
AUTOSCALE_GB = Rule("smallest autoscale maximum for each GB", 10, "RU/s", _AUTOSCALE)
AUTOSCALE_SHARE = Rule(
    "smallest bill of a physical partition, as a share of its part of the autoscale maximum",
    0.1,
    "of its part",
    f"{_DOCS}autoscale-per-partition-region",
)
AUTOSCALE_FACTOR = Rule("price of autoscale, times that of manual throughput", 1.5, "times", _AUTOSCALE)
ZONE_FACTOR = Rule(
    "price of zone redundancy with autoscale, times that without (with manual throughput: 1.25)",
    1,
    "times",
    "https://learn.microsoft.com/azure/reliability/reliability-cosmos-db-nosql",
)
UNIT_DOLLARS = Rule("100 RU/s of manual throughput, an hour", 0.008, "dollars", _BILL)
MONTH_HOURS = Rule("hours of a month", 730, "hours", f"{_DOCS}how-to-choose-offer")
STORAGE_DOLLARS = Rule("a GB of documents and indexes, a month", 0.25, "dollars", _BILL)
BACKUP_DOLLARS = Rule("a GB of continuous backup of 7 days, a month (of 30 days: 0.20)", 0, "dollars", _BACKUP)
