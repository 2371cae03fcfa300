"""The sizes of events and commits, and the rate of commits, as measured on a real case log or simulated.

The case log has 11,445 events of 1,434 applications for permits, of 500 bytes each as consumers receive them.
"""

from eventfeed.app.cost.rules import Curve, Rule, Surface

_MEASURED = "measured on the case log"

BODY_SHARE = Curve(
    "stored bytes of an event's JSON, for each byte of it, by events a commit",
    ((1, 0.78), (2, 0.49), (3, 0.38), (5, 0.29), (10, 0.22), (20, 0.18), (50, 0.15), (100, 0.14), (500, 0.13)),
    "bytes",
    _MEASURED,
)
COLUMN_BYTES = Curve(
    "stored bytes of an event's other columns, by events a commit",
    ((1, 150), (2, 120), (3, 110), (5, 103), (10, 91), (20, 85), (50, 81), (500, 78)),
    "bytes",
    _MEASURED,
)
KINDS = Curve(
    "different types in a commit, by events a commit",
    ((1, 1), (2, 2), (5, 4.4), (10, 6.9), (50, 9.5), (100, 10.9), (500, 17.4)),
    "types",
    _MEASURED,
)
ROW_BYTES = Rule("bytes of an event's other columns before compression", 420, "bytes", _MEASURED)
INSTANCE_SHARE = Rule("new instances for each event", 0.125, "instances", _MEASURED)
COMMIT_BYTES = Rule("bytes of a commit's document without its events and index terms", 450, "bytes", _MEASURED)
EVENT_TERM_BYTES = Rule("id, identity, instance and subject of an event", 120, "bytes", _MEASURED)
KIND_TERM_BYTES = Rule("app, type and resource of a kind of event", 110, "bytes", _MEASURED)
OWNER_BYTES = Rule("document of an owner and its index", 400, "bytes", _MEASURED)

COMMITS = Surface(
    "commits a second of a process, by its linger time (s) and its events a second",
    (
        (0, ((0, 0), (5, 5), (10, 10), (25, 24.4), (50, 45.2), (100, 73), (250, 96.6), (500, 99.8), (2_500, 100))),
        (0.01, ((0, 0), (5, 5), (10, 9.9), (25, 23.2), (50, 39), (100, 51.7), (250, 52.7), (500, 50.9), (2_500, 50))),
        (
            0.02,
            ((0, 0), (5, 5), (10, 9.8), (25, 22.2), (50, 34.5), (100, 39.3), (250, 36.1), (500, 34.4), (2_500, 33.4)),
        ),
        (0.04, ((0, 0), (5, 5), (10, 9.6), (25, 20.5), (50, 26.9), (100, 25.4), (250, 22), (500, 20.9), (2_500, 20.1))),
        (
            0.08,
            ((0, 0), (5, 4.9), (10, 9.3), (25, 17.1), (50, 16.8), (100, 14), (250, 12.3), (500, 11.7), (2_500, 11.3)),
        ),
        (0.15, ((0, 0), (5, 4.8), (10, 8.8), (25, 11.5), (50, 9.1), (100, 7.7), (250, 6.9), (500, 6.6), (2_500, 6.5))),
    ),
    "commits",
    "simulated with random arrivals and the time of a commit",
)
