"""Development issuers: the service's own Maskinporten and ID-porten, for development (contract section 6).

Their tokens are verified like real ones. They grant every scope.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.domain.ports import CLOCK_SECOND, Clock
from eventfeed.identity.discovery import Discovery
from eventfeed.identity.exchange import ID_PORTEN, LEVELS, MASKINPORTEN
from eventfeed.identity.keys import SigningKeys

# The longest life of a real Maskinporten token: long enough to paste one by hand.
TOKEN_SECONDS = 600

_ORGANISATION = re.compile(r"[0-9]{9}", re.ASCII)
_PERSON = re.compile(r"[0-9]{11}", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)

Form = Mapping[str, str]
Claims = Mapping[str, object]


class DevelopmentIssuer(NamedTuple):
    """Issues tokens of a provider, with the issuer `url`, for `audience`."""

    provider: str
    url: str
    audience: str
    keys: SigningKeys
    clock: Clock

    def discovery(self) -> Discovery:
        """Return the discovery document, which names the URL of the keys."""
        return Discovery(issuer=self.url, jwks_uri=f"{self.url}/jwks")

    def token(self, form: Form) -> str:
        """Return an access token with the identity and the scopes in a form. Raises `InvalidRequest`.

        Maskinporten reads `org_number` (9 digits), and for a system user of that vendor `system_user` (a uuid) and
        `system_user_org` (9 digits); ID-porten `person` (11 digits) and `level`; both read `scope`.
        """
        claims = _CLAIMS[self.provider](form)
        now = self.clock() // CLOCK_SECOND
        frame = {"iss": self.url, "aud": self.audience, "jti": secrets.token_urlsafe(16), "iat": now}
        return self.keys.sign({**claims, **frame, "exp": now + TOKEN_SECONDS})


def _maskinporten_claims(form: Form) -> Claims:
    faults = list(_maskinporten_faults(form))
    if faults:
        raise InvalidRequest("The organisation or the system user is invalid.", faults=faults)
    organisation = form["org_number"]
    return {
        "scope": form.get("scope", ""),
        "client_id": f"development-{organisation}",
        "client_amr": "private_key_jwt",
        "token_type": "Bearer",
        "consumer": _organisation_id(organisation),
        **(_system_user_claims(form) if _names_system_user(form) else {}),
    }


def _maskinporten_faults(form: Form) -> Iterator[Fault]:
    names = ("org_number", "system_user_org") if _names_system_user(form) else ("org_number",)
    for name in names:
        if not _ORGANISATION.fullmatch(form.get(name, "")):
            yield Fault(parameter=name, detail="must be an organisation number of 9 digits")
    if _names_system_user(form) and not _UUID.fullmatch(form.get("system_user", "")):
        yield Fault(parameter="system_user", detail="must be a uuid")


def _names_system_user(form: Form) -> bool:
    """True if a form has one of the fields of a system user: an empty one must not give the vendor's own token."""
    return "system_user" in form or "system_user_org" in form


def _system_user_claims(form: Form) -> Claims:
    """Return the claim of a system user, as Maskinporten makes it (RFC 9396 §9.1)."""
    details = {
        "type": "urn:altinn:systemuser",
        "systemuser_id": [form["system_user"]],
        "systemuser_org": _organisation_id(form["system_user_org"]),
        "system_id": f"{form['org_number']}_development",
    }
    return {"authorization_details": [details]}


def _organisation_id(number: str) -> Claims:
    return {"authority": "iso6523-actorid-upis", "ID": f"0192:{number}"}


def _id_porten_claims(form: Form) -> Claims:
    person, level = form.get("person", ""), f"idporten-loa-{form.get('level', 'high')}"
    faults = list[Fault]()
    if not _PERSON.fullmatch(person):
        faults.append(Fault(parameter="person", detail="must be a person number of 11 digits"))
    if level not in LEVELS:
        levels = ", ".join(name.removeprefix("idporten-loa-") for name in LEVELS)
        faults.append(Fault(parameter="level", detail=f"must be one of: {levels}"))
    if faults:
        raise InvalidRequest("The person or the level is invalid.", faults=faults)
    return {
        "scope": form.get("scope", "openid"),
        "client_id": "development",
        "token_type": "Bearer",
        "sub": secrets.token_urlsafe(32),
        "pid": person,
        "acr": level,
        "amr": ["TestID"],
    }


_CLAIMS = {MASKINPORTEN: _maskinporten_claims, ID_PORTEN: _id_porten_claims}
# Each has keys and a discovery document of its own.
PROVIDERS: Sequence[str] = tuple(_CLAIMS)
