"""A test double of an app of Altinn: it publishes the bytes that the library of these apps sends.

Rules that it plays, with the files they are in (github.com, read on 2026-11-27):

- the event: its members in their order, absent ones as null, and the subjects of an organisation, a person and a
  self-identified user (Altinn/app-lib-dotnet, `Infrastructure/Clients/Events/EventsClient.cs`, `Models/CloudEvent.cs`);
- the URN of a self-identified user (the same, `Helpers/InstantiationHelper.cs`, `Constants/AltinnUrns.cs`);
- the source: the public URL of the app and of the instance (the same, `Configuration/GeneralSettings.cs`);
- the request: method, path, the bearer token, the app token and the subscription key (the same,
  `Extensions/HttpClientExtension.cs`, `Configuration/PlatformSettings.cs`);
- the app token: claims, times and audience, RS256 by a certificate whose thumbprint is the key id
  (Altinn/altinn-accesstoken, `AccessTokenClient/Services/AccessTokenGenerator.cs`);
- JSON as System.Text.Json writes it by default: characters as escapes with capital letters, and times with up to seven
  decimals (learn.microsoft.com, `JavaScriptEncoder.Default`, `Utf8JsonWriter`);
- headers in the order of .NET's HttpClient: those of the request, then those of the client, then those of the content.

Not played: TLS and HTTP/2, connections that are used again, the gateway in front, the cookie with the bearer token, the
cache of app tokens (295 s), and retries, of which the library has none.
"""

import base64
import json
import re
import time
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

# `AccessTokenSettings`.
TOKEN_SECONDS, EARLY_SECONDS = 300, 5
AUDIENCE = "platform.altinn.no"
# Of a second.
TICKS = 10_000_000
# Allowed by `JavaScriptEncoder.Default`: Basic Latin without these characters.
_ESCAPED = re.compile("[^ -~]|[\"&'+<>`\\\\]")
_SHORT_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\"}


class Owner(NamedTuple):
    """The owner of an instance: its party, and the one of the others that it has."""

    party: str
    organisation: str = ""
    person: str = ""
    external: str = ""

    @property
    def alternative_subject(self) -> str | None:
        """The subject beside the party."""
        if self.organisation:
            return f"/org/{self.organisation}"
        return f"/person/{self.person}" if self.person else self.external or None


class Certificate(NamedTuple):
    """A self-signed certificate and its key, as an organisation has them for its apps."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str, *, start: datetime | None = None, days: int = 365) -> "Certificate":
        """Make a certificate that is valid for so many days, by default from yesterday."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        start = start or datetime.now(UTC) - timedelta(days=1)
        builder = x509.CertificateBuilder(
            issuer_name=subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=start,
            not_valid_after=start + timedelta(days=days),
        )
        return cls(key, builder.sign(key, hashes.SHA256()))

    @property
    def pem(self) -> bytes:
        """The certificate as text."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def digest(self) -> bytes:
        """The thumbprint."""
        return self.certificate.fingerprint(hashes.SHA1())  # noqa: S303  # an id, no protection


class AltinnApp(NamedTuple):
    """An app with the certificate of its organisation."""

    org: str
    name: str
    certificate: Certificate
    host: str = "apps.example.no"

    def app_token(self, now: int | None = None, **changes: object) -> str:
        """Make the token of the app at this Unix time, by default the present one."""
        now = int(time.time()) if now is None else now
        claims: dict[str, object] = {
            "urn:altinn:app": self.name,
            "nbf": now - EARLY_SECONDS,
            "exp": now + TOKEN_SECONDS,
            "iat": now,
            "iss": self.org,
            "aud": AUDIENCE,
        }
        digest = self.certificate.digest
        thumbprint = {"kid": digest.hex().upper(), "x5t": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
        payload = json.dumps({**claims, **changes}, separators=(",", ":")).encode()
        return jwt.PyJWS().encode(payload, self.certificate.key, "RS256", headers=thumbprint)

    def event(self, type_: str, *, owner: Owner, guid: str, now: int) -> bytes:
        """Return the event of an instance as JSON; `now` in ns."""
        source = f"https://{self.org}.{self.host}/{self.org}/{self.name}/instances/{owner.party}/{guid}"
        members: Mapping[str, str | None] = {
            "id": None,
            "source": source,
            "specversion": "1.0",
            "type": type_,
            "subject": f"/party/{owner.party}",
            "time": _date_time(now),
            "alternativesubject": owner.alternative_subject,
            "data": None,
            "dataschema": None,
            "contenttype": None,
        }
        return f"{{{','.join(f'{_text(name)}:{_text(value)}' for name, value in members.items())}}}".encode()

    def request(self, url: str, *, bearer: str, event: bytes, app_token: str | None = None) -> bytes:
        """Return the request that publishes an event to the service at this URL."""
        headers = {
            "Host": urllib.parse.urlsplit(url).netloc,
            "Authorization": f"Bearer {bearer}",
            "PlatformAccessToken": self.app_token() if app_token is None else app_token,
            "Ocp-Apim-Subscription-Key": "key",
            "Accept": "application/json",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
            "Content-Type": "application/json; charset=utf-8",
            "Content-Length": str(len(event)),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /events/api/v1/app HTTP/1.1\r\n{head}\r\n".encode() + event


def _date_time(now: int) -> str:
    """Return a UTC time, given in ns, in ticks of 100 ns without zeros at the end."""
    second, ticks = divmod(now // 100, TICKS)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}{f'.{ticks:07d}'.rstrip('0').rstrip('.')}Z"


def _text(value: str | None) -> str:
    return "null" if value is None else f'"{_ESCAPED.sub(lambda match: _escape(match[0]), value)}"'


def _escape(character: str) -> str:
    units = character.encode("utf-16-be")
    escapes = (f"\\u{units[index : index + 2].hex().upper()}" for index in range(0, len(units), 2))
    return _SHORT_ESCAPES.get(character) or "".join(escapes)
