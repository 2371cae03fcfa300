"""Nobody is answered who has come past the gateway."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from eventfeed.domain.errors import NotThroughGateway
from eventfeed.http.problems import Problems
from eventfeed.http.request import AnyRequest

# What the gateway says its secret in; it overwrites what a caller may have sent.
HEADER = b"x-gateway-secret"
# Asked by whoever runs the service, on its own network: they tell nothing.
OPEN = frozenset({"/health/live", "/health/ready"})


class OnlyThroughGateway:
    """An ASGI application, for requests that carry one of the gateway's secrets; several while one replaces another."""

    def __init__(self, application: Any, *, accepted: Sequence[str], problems: Problems) -> None:
        self._application, self._problems = application, problems
        self._accepted = [secret.encode() for secret in accepted]

    async def __call__(self, scope: Any, *connection: Any) -> None:
        """Answer as the application does, or refuse."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._proven(scope["headers"]):
            await self._application(scope, *connection)
            return
        request = AnyRequest(scope)
        refusal = self._problems.on_failure(request, NotThroughGateway("The request did not come through the gateway."))
        await refusal.to_asgi_response(None, request)(scope, *connection)

    def _proven(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        given = next((value for name, value in headers if name == HEADER), b"")
        # The time it takes tells nothing of a secret.
        return any(secrets.compare_digest(given, secret) for secret in self._accepted)
