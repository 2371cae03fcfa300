"""Development issuers: the service's own Maskinporten and ID-porten, for a machine without others (contract section 6).

Their tokens are verified by the very code that verifies real ones. They refuse no scope.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.ports import Clock
from eventfeed.identity.discovery import Discovery
from eventfeed.identity.exchange import ID_PORTEN, LEVELS, MASKINPORTEN
from eventfeed.identity.keys import SigningKeys

# The longest that Maskinporten's own live, so that one pasted by hand still works.
TOKEN_SECONDS = 600

_ORGANISATION = re.compile(r"[0-9]{9}", re.ASCII)
_PERSON = re.compile(r"[0-9]{11}", re.ASCII)

Form = Mapping[str, str]
Claims = Mapping[str, object]


class DevelopmentIssuer(NamedTuple):
    """Issues tokens of a provider under `url` for `audience`."""

    provider: str
    url: str
    audience: str
    keys: SigningKeys
    clock: Clock

    def discovery(self) -> Discovery:
        """Where this issuer's keys are."""
        return Discovery(issuer=self.url, jwks_uri=f"{self.url}/jwks")

    def token(self, form: Form) -> str:
        """An access token for whom a form names, with the scopes it asks for. Raises `InvalidRequest`.

        Maskinporten takes `org_number` (9 digits), ID-porten `person` (11 digits) and `level`; both take `scope`.
        """
        said = _CLAIMS[self.provider](form)
        now = self.clock() // 1_000_000
        frame = {"iss": self.url, "aud": self.audience, "jti": secrets.token_urlsafe(16), "iat": now}
        return self.keys.sign({**said, **frame, "exp": now + TOKEN_SECONDS})


def _of_maskinporten(form: Form) -> Claims:
    organisation = form.get("org_number", "")
    if not _ORGANISATION.fullmatch(organisation):
        fault = Fault(parameter="org_number", detail="must be an organisation number of 9 digits")
        raise InvalidRequest("There is no such organisation number.", faults=[fault])
    return {
        "scope": form.get("scope", ""),
        "client_id": f"development-{organisation}",
        "client_amr": "private_key_jwt",
        "token_type": "Bearer",
        "consumer": {"authority": "iso6523-actorid-upis", "ID": f"0192:{organisation}"},
    }


def _of_id_porten(form: Form) -> Claims:
    person, level = form.get("person", ""), f"idporten-loa-{form.get('level', 'high')}"
    faults = list[Fault]()
    if not _PERSON.fullmatch(person):
        faults.append(Fault(parameter="person", detail="must be a person number of 11 digits"))
    if level not in LEVELS:
        known = ", ".join(name.removeprefix("idporten-loa-") for name in LEVELS)
        faults.append(Fault(parameter="level", detail=f"must be one of: {known}"))
    if faults:
        raise InvalidRequest("Nobody can be named like this.", faults=faults)
    return {
        "scope": form.get("scope", "openid"),
        "client_id": "development",
        "token_type": "Bearer",
        "sub": secrets.token_urlsafe(32),
        "pid": person,
        "acr": level,
        "amr": ["TestID"],
    }


_CLAIMS = {MASKINPORTEN: _of_maskinporten, ID_PORTEN: _of_id_porten}
# Each has keys and a discovery document of its own.
PROVIDERS: Sequence[str] = tuple(_CLAIMS)
