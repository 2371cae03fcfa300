"""The HTTP server: granian on a socket of our own, with limits for each connection.

granian has a time limit for reading headers, and only in its HTTP/1.1 mode does it start with the connection
(hyperium/hyper#3962). It has none for a client that takes no bytes, so the operating system enforces that one.
"""

import contextlib
import resource
import socket
import sys
from collections.abc import Iterator

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]  # not in its `__all__`
from granian.server.mp import MPServer

from eventfeed.settings import Settings, SettingsError

# A connection that sends no complete request head for so long is closed, also between requests.
HEAD_SECONDS_MAX = 30
# A connection whose client acknowledges nothing for so long is closed. Linux only.
TAKE_SECONDS_MAX = 20
# Bytes of a request's head, and bytes of a response that wait in the server for the connection.
BUFFER_BYTES_MAX = 64 * 1024
# Bytes of a response in the operating system. Linux doubles the number; without it a connection takes up to 4 MiB.
SEND_BUFFER_BYTES = 128 * 1024
BACKLOG = 1_024
# The end of a worker that does not end by itself, see `app.shutdown`.
STOP_SECONDS_MAX = 5
# granian's own messages are part of the log. It adds the level.
LOGGING = {"handlers": {}, "loggers": {"_granian": {"propagate": True}}}
# Concurrent requests in each process, besides those that wait for events.
REQUESTS_MAX = 1_024
# Open files for anything but connections of clients: the store, the platform, the collector.
OTHER_FILES = 200


class Server(MPServer):
    """granian on a listening socket of its caller, which all workers share."""

    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        super().__init__(
            "eventfeed.app.application:create",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            workers=settings.workers,
            loop=Loops.uvloop,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=HEAD_SECONDS_MAX * 1_000, max_buffer_size=BUFFER_BYTES_MAX
            ),
            websockets=False,
            factory=True,
            log_level=LogLevels.warning,
            log_dictconfig=LOGGING,
            respawn_failed_workers=True,
            workers_kill_timeout=STOP_SECONDS_MAX,
            backpressure=_connections_max(settings),
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        """Use the caller's socket; granian would open one for each worker."""
        number, is_unix = self._listener.fileno(), False
        self._sso = self._listener
        self._sfd = number  # type: ignore[assignment]  # granian's own types know only the first value
        self._shd = SocketHolder(number, is_unix, BACKLOG)  # type: ignore[assignment,call-arg]  # the same


@contextlib.contextmanager
def listening_socket(settings: Settings) -> Iterator[socket.socket]:
    """Listen on the address of the settings during the block. Raises `SettingsError` if another process does.

    Accepted connections inherit the options.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKE_SECONDS_MAX * 1_000)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(BACKLOG)
        except OSError as failure:
            raise SettingsError(
                f"Cannot listen on {settings.host}:{settings.port}: {failure.strerror}. "
                "Choose another port with EVENTFEED_PORT or --port, or stop the process that uses it."
            ) from None
        listener.set_inheritable(True)
        yield listener


def raise_file_limit() -> int:
    """Raise the limit of open files to the hard limit, for this process and those it starts; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS has a lower limit than the one that it names.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def _connections_max(settings: Settings) -> int:
    """Return the most connections of one process; others wait in the backlog. A request that waits counts too.

    A process without free file descriptors could not read its store.
    """
    files, wanted = raise_file_limit(), settings.streams + settings.waits + REQUESTS_MAX
    connections = min(wanted, max(files - OTHER_FILES, files // 2))
    if connections < wanted:
        sys.stderr.write(
            f"The limit of open files is {files}: each process accepts {connections} connections at a time, "
            f"and its settings need {wanted}. Raise the hard limit to {wanted + OTHER_FILES}.\n"
        )
    return connections
