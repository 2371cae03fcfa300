"""Scans of a feed: a page as one row, or the whole entries of a feed that needs each event.

The log start is read with the page or after the entries, so it also tells which of them were deleted meanwhile.
"""

from array import array

from msgspec.structs import replace

from eventfeed.domain.cloudevents import STORED_BYTES_MAX
from eventfeed.domain.feed import Feed
from eventfeed.domain.page_entries import ColumnPart, EntryColumns, EntryList, count_fitting, json_lengths
from eventfeed.domain.ports import Scan
from eventfeed.log.sqlite.connections import StoreConnection
from eventfeed.log.sqlite.layout import read_number
from eventfeed.log.sqlite.rows import read_entries
from eventfeed.log.sqlite.statements import ScanStatements, Values, scan_statements

# Rows that one scan checks before it returns the position it reached: some 20 ms of work.
EXAMINE_ENTRIES_MAX = 20_000
# A scan first checks as many rows of each key as so many pages have.
FEW_PAGES = 4


def scan(db: StoreConnection, feed: Feed, *, bounds: Values, bytes_max: int) -> Scan:
    """See `EventLog.scan`; `bounds` has its `after`, `through` and `limit`."""
    few, most = FEW_PAGES * bounds["limit"], EXAMINE_ENTRIES_MAX // scan_statements(feed).keys
    # Most pages are full after a few rows, and counting many rows takes longer than reading a page.
    if few < most:
        result = _scan(db, feed, bounds=bounds, bytes_max=bytes_max, examine=few)
        if _is_page(result, limit=bounds["limit"]) or result.examined >= bounds["through"]:
            return result
    return _scan(db, feed, bounds=bounds, bytes_max=bytes_max, examine=most)


def _scan(db: StoreConnection, feed: Feed, *, bounds: Values, bytes_max: int, examine: int) -> Scan:
    statements = scan_statements(feed)
    values = {**statements.values, **bounds}
    values["through"] = _reach(db, statements, values=values, examine=examine)
    read = _read_entries if feed.needs_events else _read_page
    result = read(db, statements, values=values, bytes_max=bytes_max)
    if _is_page(result, limit=bounds["limit"]):
        return result
    return replace(result, examined=max(bounds["after"], values["through"]))


def _is_page(scan: Scan, *, limit: int) -> bool:
    """True if no further row fits."""
    return scan.is_full or len(scan.entries) == limit


def _reach(db: StoreConnection, statements: ScanStatements, *, values: Values, examine: int) -> int:
    """Return the position that a scan may reach: `through`, unless it checks over `examine` rows of a key."""
    through: int = values["through"]
    if statements.reach is None:
        return through
    row = db.execute(statements.reach, {**values, "examine": examine}).fetchone()
    return through if row is None or row[0] is None else int(row[0])


def _read_entries(db: StoreConnection, statements: ScanStatements, *, values: Values, bytes_max: int) -> Scan:
    entries, is_full = read_entries(db, statements.rows, values=values, bytes_max=bytes_max)
    examined = entries[-1].sequence if entries else 0
    log_start = read_number(db, "SELECT floor FROM log")
    return Scan(entries=EntryList(entries), examined=examined, log_start=log_start, is_full=is_full)


def _read_page(db: StoreConnection, statements: ScanStatements, *, values: Values, bytes_max: int) -> Scan:
    page = _PageParts(db, statements, values=values)
    page.read(bytes_max)
    positions, entries = page.positions, EntryColumns(page.parts)
    examined = positions[-1] if positions else 0
    return Scan(
        entries=entries,
        examined=examined,
        log_start=page.log_start,
        positions=positions.tobytes(),
        is_full=page.is_full,
    )


class _PageParts:
    """A page that is read in parts, each a statement with one row: its columns, and its events as one text.

    A part has as many events as always fit, or as fit by their lengths: so no event is read that does not fit. Texts of
    this length stay in the allocator's arena, where longer ones would take new pages of memory.
    """

    def __init__(self, db: StoreConnection, statements: ScanStatements, *, values: Values) -> None:
        self._db, self._statements, self._values = db, statements, dict(values)
        self._missing = values["limit"]
        self.parts, self.positions = list[ColumnPart](), array("Q")
        self.log_start, self.is_full = 0, False

    def read(self, bytes_max: int) -> None:
        """Read parts up to the limit, these bytes, or the last row."""
        left, is_last = bytes_max - len(b"[]"), False
        while not is_last:
            count = max(0, min(self._missing, left // STORED_BYTES_MAX))
            is_last = count == 0
            if is_last:
                count = self._count_fitting(left)
            self._values["limit"] = count
            text, rows = self._read_part()
            left -= len(text) + len(b",")
            self._missing -= rows
            is_last = is_last or rows < count or not self._missing

    def _count_fitting(self, left: int) -> int:
        """Return how many of the next rows fit into these bytes; one if the page would have none."""
        self._values["limit"] = self._missing
        ((lengths,),) = self._db.execute(self._statements.lengths, self._values)
        numbers = json_lengths(lengths)
        fitting = count_fitting(numbers, bytes_max=left + len(b"[]"))
        count = fitting if self.parts else max(fitting, 1)
        self.is_full = count < len(numbers)
        return count

    def _read_part(self) -> tuple[bytes, int]:
        """Read the next `:limit` rows; return their text and their number."""
        ((self.log_start, *columns),) = self._db.execute(self._statements.part, self._values)
        part = ColumnPart(*columns)
        if not part.sequences:
            return b"", 0
        self._values["after"] = part.sequences[-1]
        self.positions.extend(part.sequences)
        self.parts.append(part)
        return part.text, len(part.sequences)
