"""The composition root: what the service is made of, and the only place that chooses engines."""

import asyncio
import contextlib
import random
import secrets
import string
import time
import uuid
from collections.abc import AsyncIterator

import httpx
from litestar import Litestar
from litestar.exceptions import HTTPException

from eventfeed.access.local import LocalRegister
from eventfeed.domain.cursor import LOG_NAME_LETTERS
from eventfeed.domain.errors import Failure
from eventfeed.domain.event import REQUEST_BYTES_MAX
from eventfeed.domain.ports import EventLog
from eventfeed.http.addresses import Addresses
from eventfeed.http.callers import Callers
from eventfeed.http.feeds import feed_routes
from eventfeed.http.health import health_routes
from eventfeed.http.identity import development_routes, identity_routes
from eventfeed.http.problems import Problems
from eventfeed.http.publish import Publishing, publish_routes
from eventfeed.http.schema import schema_routes
from eventfeed.log.appender import Appender
from eventfeed.log.reader import Reader
from eventfeed.log.retention import Retention
from eventfeed.log.sqlite import SqliteLog
from eventfeed.log.tail import Tail
from eventfeed.settings import Settings, from_environment

DAY = 24 * 3_600 * 1_000_000
# Deletion is far behind what is shown; a minute more does not matter.
DELETE_EVERY_SECONDS = 60.0


def create() -> Litestar:
    """The application of this environment: what a server process runs."""
    return application(from_environment())
