"""Bodies of requests, bounded in bytes and time."""

import asyncio

from eventfeed.domain.cloudevents import REQUEST_BYTES_MAX
from eventfeed.domain.errors import InvalidRequest, TooLarge
from eventfeed.http.request import AnyRequest

# Bytes of a body over its limit that are read and dropped before the response.
DRAIN_BYTES_MAX = 16 * REQUEST_BYTES_MAX
# A body of the full size over a line of 0.5 Mbit/s.
BODY_SECONDS_MAX = 30.0
# For requests that carry no events.
BODY_BYTES_MAX = 16 * 1024


async def read_body(request: AnyRequest, *, bytes_max: int) -> bytes:
    """Return the body. Raises `TooLarge` after reading a longer one, `InvalidRequest` if it does not arrive."""
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
        raise InvalidRequest(f"The body did not arrive within {BODY_SECONDS_MAX:.0f} seconds.") from None
    if length > bytes_max:
        raise TooLarge(f"The body of this request must not exceed {bytes_max} bytes.")
    return b"".join(parts)
