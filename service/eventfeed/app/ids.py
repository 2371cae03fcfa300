"""Unique ids and log names of this process."""

import functools
import secrets
import string
from collections.abc import Callable

from eventfeed.domain.cursor import LOG_NAME_LENGTH

# Returns a unique text, for write ids and documents.
new_unique_id: Callable[[], str] = functools.partial(secrets.token_hex, 16)


def new_log_name() -> str:
    """Return a name for a log."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(LOG_NAME_LENGTH))
