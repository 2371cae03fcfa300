"""Who is asking: the bearer token of a request (RFC 6750 §2.1)."""

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.principal import Principal
from eventfeed.http.request import AnyRequest, header
from eventfeed.identity.tokens import PlatformTokens


class Authenticator:
    """Knows callers by their platform tokens."""

    def __init__(self, tokens: PlatformTokens) -> None:
        self._tokens = tokens

    def principal(self, request: AnyRequest) -> Principal:
        """The caller. Raises `Unauthenticated`."""
        return self._tokens.verify(bearer(request))


def bearer(request: AnyRequest) -> str:
    """The token in the Authorization header. Raises `Unauthenticated` when there is none."""
    scheme, _, token = (header(request, b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("This needs a platform token, sent as Authorization: Bearer.", presented=False)
    return token.strip()
