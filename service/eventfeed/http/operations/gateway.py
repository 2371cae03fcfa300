"""The gateway check: only requests with the gateway's secret reach the application."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from eventfeed.domain.errors import NotThroughGateway
from eventfeed.http.problems import Problems
from eventfeed.http.request import HttpRequest

# The header of the secret. The gateway overwrites the value that a client may send.
HEADER = b"x-gateway-secret"
# Probes of the platform, on the service's own network. Their responses hold nothing secret.
OPEN_PATHS = frozenset({"/health/live", "/health/ready"})


class GatewayCheck:
    """An ASGI application behind the check. It accepts several secrets, while one replaces another."""

    def __init__(self, application: Any, *, valid_secrets: Sequence[str], problems: Problems) -> None:
        self._application, self._problems = application, problems
        self._secrets = [secret.encode() for secret in valid_secrets]

    async def __call__(self, scope: Any, *connection: Any) -> None:  # then receive and send of ASGI
        """Respond as the application does, or refuse."""
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS or self._has_secret(scope["headers"]):
            await self._application(scope, *connection)
            return
        receive, send = connection
        request = HttpRequest(scope, receive, send=send)
        refusal = self._problems.on_failure(request, NotThroughGateway("The request did not come through the gateway."))
        await refusal.to_asgi_response(None, request)(scope, *connection)

    def _has_secret(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        value = next((value for name, value in headers if name == HEADER), b"")
        # Comparison in constant time reveals nothing of a secret.
        return any(secrets.compare_digest(value, secret) for secret in self._secrets)
