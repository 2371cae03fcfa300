"""The clock, unique ids and log names of this process."""

import secrets
import string
import time
import uuid

from eventfeed.domain.cursor import LOG_NAME_LENGTH


def now() -> int:
    """Return the machine's time (µs since 1970)."""
    return time.time_ns() // 1_000


def new_unique_id() -> str:
    """Return a unique text, for write ids and documents."""
    return uuid.uuid4().hex


def new_event_id() -> str:
    """Return an id for an event without one."""
    return str(uuid.uuid4())


def new_log_name() -> str:
    """Return a name for a log."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(LOG_NAME_LENGTH))
