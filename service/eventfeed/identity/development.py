"""The development issuer: the service's own Maskinporten, for a machine that has no other (contract section 6).

Its tokens are verified by the very code that verifies real ones. It refuses no scope.
"""

import re
import secrets

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.ports import Clock
from eventfeed.identity.discovery import Discovery
from eventfeed.identity.keys import SigningKeys

# The longest that Maskinporten's own live, so that one pasted by hand still works.
TOKEN_SECONDS = 600

_ORGANISATION = re.compile(r"[0-9]{9}", re.ASCII)


class DevelopmentIssuer:
    """Issues Maskinporten tokens under `url` for `audience`."""

    def __init__(self, url: str, *, audience: str, keys: SigningKeys, clock: Clock) -> None:
        self._url, self._audience, self._keys, self._clock = url, audience, keys, clock

    def discovery(self) -> Discovery:
        """Where this issuer's keys are."""
        return Discovery(issuer=self._url, jwks_uri=f"{self._url}/jwks")

    def jwks(self) -> bytes:
        """The keys, as JSON."""
        return self._keys.jwks

    def maskinporten_token(self, organisation: str, scope: str) -> str:
        """An access token for an organisation number (9 digits) with these scopes. Raises `InvalidRequest`."""
        if not _ORGANISATION.fullmatch(organisation):
            fault = Fault(parameter="org_number", detail="must be an organisation number of 9 digits")
            raise InvalidRequest("There is no such organisation number.", faults=[fault])
        now = self._clock() // 1_000_000
        return self._keys.sign(
            {
                "iss": self._url,
                "aud": self._audience,
                "scope": scope,
                "client_id": f"development-{organisation}",
                "client_amr": "private_key_jwt",
                "token_type": "Bearer",
                "consumer": {"authority": "iso6523-actorid-upis", "ID": f"0192:{organisation}"},
                "jti": secrets.token_urlsafe(16),
                "iat": now,
                "exp": now + TOKEN_SECONDS,
            },
        )
