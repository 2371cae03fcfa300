"""The work of a log and its processes: decided by this service, or assumed."""

from eventfeed.app.cost.rules import Rule

_DECIDED = "decided by this service"
_ASSUMED = "assumed; `eventfeed store measure` shows the charges of an account"

COMMIT_EVENTS = Rule("most events of a commit", 500, "events", _DECIDED)
COMMIT_ROW_BYTES = Rule("most bytes of a commit's events before compression", 1_000_000, "bytes", _DECIDED)
EVENT_TERMS = Rule("index terms of an event: id, identity, instance, subject", 4, "terms", _DECIDED)
KIND_TERMS = Rule("index terms of a kind of event: app, type, resource", 3, "terms", _DECIDED)
COMMIT_TERMS = Rule("index terms of a commit besides: four numbers, id, `_ts`", 6, "terms", _DECIDED)
HEADS = Rule("reads of the end, for each process with readers", 10, "a second", _DECIDED)
LOG_STARTS = Rule("reads of the log start, three queries each, for each process with readers", 1, "a second", _DECIDED)
MANIFEST_SECONDS = Rule("time between two reads of the manifest by a process", 30, "s", _DECIDED)
MEMORY_EVENTS = Rule("newest events that a process reads at its start", 10_000, "events", _DECIDED)
LINGER_UNIT_SECONDS = Rule("linger time for each request unit of a lookup", 0.005, "s", _DECIDED)
LINGER_SECONDS = Rule("longest linger time", 0.15, "s", _DECIDED)
OWNER_RETENTIONS = Rule("time to live of an owner, in retentions", 1.5, "retentions", _DECIDED)

COMMIT_SECONDS = Rule("time from the end's read to the commit (one lookup, one write)", 0.01, "s", _ASSUMED)
STORE_READS = Rule("reads of an event in pages of 50 that memory does not hold", 1, "for each event", _ASSUMED)
PAGE_EVENTS = Rule("events of a page", 50, "events", _DECIDED)
