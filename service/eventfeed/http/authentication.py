"""Authentication: the bearer token of a request (RFC 6750 §2.1)."""

from eventfeed.domain.errors import Unauthenticated
from eventfeed.domain.principal import Principal
from eventfeed.http.request import AnyRequest, headers_of
from eventfeed.identity.tokens import PlatformTokens


class Authenticator:
    """Authenticates callers by their platform tokens."""

    def __init__(self, tokens: PlatformTokens) -> None:
        self._tokens = tokens

    def principal(self, request: AnyRequest) -> Principal:
        """Return the caller. Raises `Unauthenticated`."""
        return self._tokens.verify(bearer_token(request))


def bearer_token(request: AnyRequest) -> str:
    """Return the token in the Authorization header. Raises `Unauthenticated` if there is none."""
    scheme, _, token = headers_of(request).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("A platform token is required, as Authorization: Bearer.", has_token=False)
    return token.strip()
