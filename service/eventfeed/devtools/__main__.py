"""The process of the page: `python -m eventfeed.devtools PORT`. It ends with its standard input.

The service holds the other end of that, so the page ends with the service, however the service ends.
"""

import asyncio
import os
import sys
import threading

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server

from eventfeed.devtools.app import create


def main() -> None:
    """Serve the page to this machine."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    server = Server(
        create(),
        address="127.0.0.1",
        port=int(sys.argv[1]),
        interface=Interfaces.ASGI,
        websockets=False,
        # It warns that it is experimental.
        log_level=LogLevels.error,
    )
    asyncio.run(server.serve())


def _end_with_input() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(0)


if __name__ == "__main__":
    main()
