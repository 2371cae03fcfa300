"""The price of a load: commits, storage, partitions, request units and money."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from eventfeed.app.cost import azure, sizes, workload

DAY_SECONDS = 86_400
GB = 1e9
KB = 1_024


class Load(NamedTuple):
    """A steady load: events a second, bytes of an event's JSON, retention and serving processes.

    `partitions` is the number of physical partitions of the commits, if it is known from an account.
    """

    events_a_second: float
    event_bytes: float
    retention_days: float
    processes: int
    partitions: int | None = None


class Commits(NamedTuple):
    """The commits of a load: rate, events of each, attempts for each, and size of its document and index."""

    a_second: float
    events: float
    attempts: float
    document_bytes: float
    index_bytes: float
    index_terms: float

    @property
    def write_units(self) -> float:
        """The request units that creating the document costs."""
        base = azure.WRITE_UNITS.at(self.document_bytes / KB)
        return base + azure.INDEX_TERM_UNITS.value * self.index_terms

    @property
    def read_units(self) -> float:
        """The request units that reading the document costs."""
        return azure.READ_UNITS.at(self.document_bytes / KB)


class Container(NamedTuple):
    """A container: storage, physical partitions, use in all and in the busiest partition (RU/s)."""

    storage_gb: float
    partitions: int
    units: float
    busiest_units: float

    @property
    def throughput_max(self) -> int:
        """The autoscale maximum (RU/s): enough for the busiest partition, which gets its equal part of it."""
        least = max(
            azure.AUTOSCALE_MIN.value, self.storage_gb * azure.AUTOSCALE_GB.value, self.busiest_units * self.partitions
        )
        step = azure.AUTOSCALE_MIN.value
        return int(math.ceil(least / step) * step)

    @property
    def paid_units(self) -> float:
        """The throughput that is paid for (RU/s): each partition's use, but at least a share of its part."""
        least = azure.AUTOSCALE_SHARE.value * self.throughput_max / self.partitions
        if self.partitions == 1:
            return max(least, self.units)
        others = (self.units - self.busiest_units) / (self.partitions - 1)
        return max(least, self.busiest_units) + (self.partitions - 1) * max(least, others)

    @property
    def dollars(self) -> float:
        """The price of the throughput (dollars a month)."""
        hundreds = self.paid_units / 100
        factor = azure.AUTOSCALE_FACTOR.value * azure.ZONE_FACTOR.value
        return hundreds * azure.UNIT_DOLLARS.value * azure.MONTH_HOURS.value * factor


class Estimate(NamedTuple):
    """The price of a load, with the request units of each verb (RU/s) and the dollars of each part (a month)."""

    load: Load
    commits: Commits
    log: Container
    owners: Container
    records: Container
    request_units: Mapping[str, float]
    dollars: Mapping[str, float]

    @property
    def storage_gb(self) -> float:
        """The storage of all containers."""
        return self.log.storage_gb + self.owners.storage_gb

    @property
    def start_units(self) -> float:
        """The request units that the start of a process costs once, to read the newest events."""
        commits = math.ceil(workload.MEMORY_EVENTS.value / self.commits.events)
        return commits * self.commits.read_units


def estimate(load: Load) -> Estimate:
    """Return the price of a load."""
    commits = commits_of(load)
    storage_gb = _storage_gb(load, commits)
    partitions = partitions_of(load)
    owners = _owners(load, commits)
    newest = _units_of_newest(load, commits)
    spread = _units_of_all(load, commits, partitions=partitions)
    everywhere = sum(spread.values())
    log = Container(
        storage_gb,
        partitions,
        units=sum(newest.values()) + everywhere,
        busiest_units=sum(newest.values()) + everywhere / partitions,
    )
    manifests = load.processes / workload.MANIFEST_SECONDS.value * azure.QUERY_UNITS.value
    # Approvals, the audit log and the manifest need less than the smallest throughput.
    records = Container(0.0, 1, units=manifests, busiest_units=manifests)
    return Estimate(
        load=load,
        commits=commits,
        log=log,
        owners=owners,
        records=records,
        request_units={**newest, **spread, "owners": owners.units, "records": records.units},
        dollars={
            "throughput of commits": log.dollars,
            "throughput of owners": owners.dollars,
            "throughput of records": records.dollars,
            "storage": (storage_gb + owners.storage_gb) * azure.STORAGE_DOLLARS.value,
            "backup of 7 days": (storage_gb + owners.storage_gb) * azure.BACKUP_DOLLARS.value,
        },
    )


def commits_of(load: Load) -> Commits:
    """Return the commits of a load.

    A process that waits for nothing commits at once. A busy one gathers events, and all append one after another.
    """
    return _commits(load, linger=linger_of(load))


def linger_of(load: Load) -> float:
    """Return the time for which a busy process gathers events (s): in proportion to the charge of a lookup."""
    return _linger(partitions_of(load))


def partitions_of(load: Load) -> int:
    """Return the physical partitions of the commits.

    The more they are, the longer a busy process gathers events, and the fewer partitions its commits take. Without
    `partitions` it is the smallest number that holds the commits of its own linger time.
    """
    if load.partitions is not None:
        return load.partitions
    partitions = _partitions(load, linger=workload.LINGER_SECONDS.value)
    while _partitions(load, linger=_linger(partitions)) > partitions:
        partitions += 1
    return partitions


def _linger(partitions: int) -> float:
    lookup = partitions * azure.QUERY_UNITS.value
    return min(workload.LINGER_SECONDS.value, lookup * workload.LINGER_UNIT_SECONDS.value)


def _partitions(load: Load, *, linger: float) -> int:
    return math.ceil(_storage_gb(load, _commits(load, linger=linger)) / azure.PARTITION_GB.value)


def _storage_gb(load: Load, commits: Commits) -> float:
    size = commits.document_bytes + commits.index_bytes
    return size * commits.a_second * load.retention_days * DAY_SECONDS / GB


def _commits(load: Load, *, linger: float) -> Commits:
    of_each = sizes.COMMITS.at(linger, load.events_a_second / load.processes)
    rate = min(load.processes * of_each, 1 / workload.COMMIT_SECONDS.value)
    fitting = workload.COMMIT_ROW_BYTES.value / (load.event_bytes + sizes.ROW_BYTES.value)
    events = min(load.events_a_second / rate, workload.COMMIT_EVENTS.value, fitting)
    rate = load.events_a_second / events
    others = rate * (load.processes - 1) / load.processes
    return Commits(
        a_second=rate,
        events=events,
        # A commit of another process in the meantime is the lost race that repeats lookup and write.
        attempts=1 + min(others * workload.COMMIT_SECONDS.value, load.processes - 1),
        document_bytes=_document_bytes(load, events),
        index_bytes=_term_bytes(events),
        index_terms=(
            workload.EVENT_TERMS.value * events
            + workload.KIND_TERMS.value * sizes.KINDS.at(events)
            + workload.COMMIT_TERMS.value
        ),
    )


def _document_bytes(load: Load, events: float) -> float:
    event = load.event_bytes * sizes.BODY_SHARE.at(events) + sizes.COLUMN_BYTES.at(events)
    return sizes.COMMIT_BYTES.value + events * event + _term_bytes(events)


def _term_bytes(events: float) -> float:
    """Return the bytes of a commit's index terms: once in its document, and once in the index."""
    kinds = sizes.KINDS.at(events)
    return events * sizes.EVENT_TERM_BYTES.value + kinds * sizes.KIND_TERM_BYTES.value


def _units_of_newest(load: Load, commits: Commits) -> Mapping[str, float]:
    """Return the request units of the verbs that meet the partition of the newest segment (RU/s)."""
    others = commits.a_second * (load.processes - 1) / load.processes
    heads = workload.HEADS.value
    return {
        "append": commits.a_second * commits.attempts * commits.write_units,
        "head": load.processes * heads * azure.QUERY_UNITS.value,
        "seek": load.processes * workload.LOG_STARTS.value * 3 * azure.QUERY_UNITS.value,
        "follow": load.processes * (min(heads, others) * azure.QUERY_UNITS.value + others * commits.read_units),
    }


def _units_of_all(load: Load, commits: Commits, *, partitions: int) -> Mapping[str, float]:
    """Return the request units of the verbs that meet every physical partition alike (RU/s)."""
    page = azure.QUERY_UNITS.value + math.ceil(workload.PAGE_EVENTS.value / commits.events) * commits.read_units
    return {
        "find": commits.a_second * commits.attempts * partitions * azure.QUERY_UNITS.value,
        "page": load.events_a_second * workload.STORE_READS.value / workload.PAGE_EVENTS.value * page,
    }


def _owners(load: Load, commits: Commits) -> Container:
    """Return the container of owners: a write for each instance, and a query for each process that meets it."""
    instances = load.events_a_second * sizes.INSTANCE_SHARE.value
    seconds = load.retention_days * DAY_SECONDS * workload.OWNER_RETENTIONS.value
    storage_gb = instances * seconds * sizes.OWNER_BYTES.value / GB
    partitions = math.ceil(storage_gb / azure.PARTITION_GB.value)
    queries = min(commits.a_second, instances * load.processes)
    write = azure.WRITE_UNITS.at(sizes.OWNER_BYTES.value / KB) + 2 * azure.INDEX_TERM_UNITS.value
    units = instances * write + queries * partitions * azure.QUERY_UNITS.value
    return Container(storage_gb, partitions, units, units / partitions)
