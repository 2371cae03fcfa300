"""Bodies of requests, as long as they may be, in the time they may take."""

import asyncio

from eventfeed.domain.errors import InvalidRequest, TooLarge
from eventfeed.domain.event import REQUEST_BYTES_MAX
from eventfeed.http.request import AnyRequest

# What is read of a body over its limit, to be thrown away, before the answer is given all the same.
DRAIN_BYTES_MAX = 16 * REQUEST_BYTES_MAX
# A body of the full size over a line of 0.5 Mbit/s.
BODY_SECONDS_MAX = 30.0
# Of requests that carry no events.
BODY_BYTES_MAX = 16 * 1024


async def body_of(request: AnyRequest, *, bytes_max: int) -> bytes:
    """The body. Raises `TooLarge` when it has been taken from the line, `InvalidRequest` when it does not come."""
    parts, length, more = list[bytes](), 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            while more and length <= DRAIN_BYTES_MAX:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise InvalidRequest("The request ended before its body did.")
                part = message.get("body", b"")
                length += len(part)
                if length <= bytes_max:
                    parts.append(part)
                more = message.get("more_body", False)
    except TimeoutError:
        raise InvalidRequest(f"The body did not come within {BODY_SECONDS_MAX:.0f} seconds.") from None
    if length > bytes_max:
        raise TooLarge(f"This request has at most {bytes_max} bytes.")
    return b"".join(parts)
