"""A client at the other end of an ASGI application that stops reading."""

import asyncio
from typing import Any


class SlowClient:
    """A client that takes a number of messages, and then none until its connection is reset."""

    def __init__(self, *, messages_max: int = 10**9) -> None:
        self.messages, self.resets = list[Any](), 0
        self._messages_max, self._end = messages_max, asyncio.Event()

    async def send(self, message: Any) -> None:
        """Take a message of the response."""
        if len(self.messages) >= self._messages_max:
            await self._end.wait()
            return
        self.messages.append(message)

    async def reset(self, _: Any) -> None:
        """Lose the connection: nothing else arrives."""
        self.resets += 1
        self._end.set()

    @property
    def body(self) -> bytes:
        """The body so far."""
        return b"".join(message.get("body", b"") for message in self.messages)
