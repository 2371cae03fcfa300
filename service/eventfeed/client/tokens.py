"""Sources of platform tokens, and when a new token is needed."""

import base64
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from eventfeed.client.errors import FeedError, refusal
from eventfeed.client.steps import Actions, Call, Outcome, Request, Response

# A request takes a while, so a token that expires sooner is not used any more.
EXPIRES_SECONDS = 15.0
# Too many requests, or a service or gateway with a temporary fault.
TEMPORARY_STATUSES = frozenset({429, 500, 502, 503, 504})

# A bearer token (RFC 6750 §2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_TOKEN_LENGTH_MAX = 64 * 1024


class TokenUnavailableError(Exception):
    """No token at the moment: the outcome of this request was a failed connection or a temporary error."""

    def __init__(self, request: Request, outcome: Outcome) -> None:
        super().__init__("no token at the moment")
        self.request, self.outcome = request, outcome


class Tokens(Protocol):
    """A source of tokens."""

    # True if a rejected token can be replaced.
    renewable: bool

    def token(self, *, fresh: bool) -> Actions[str]:
        """Return a token, "" for none; a new one if `fresh`. Raises `TokenUnavailableError` and `RefusedError`."""
        ...


class FixedToken:
    """One token, or none."""

    renewable = False

    def __init__(self, token: str = "") -> None:
        self._token = token

    def token(self, *, fresh: bool) -> Actions[str]:  # noqa: ARG002  # there is no other
        """See `Tokens.token`."""
        yield from ()
        return _require_token(self._token, source="the client") if self._token else ""


class IssuerTokens:
    """Tokens of the service's own development issuer (`maskinporten` or `id-porten`), for the identity in `form`."""

    renewable = True

    def __init__(self, provider: str, form: Mapping[str, str]) -> None:
        self.provider, self._form = provider, form

    def token(self, *, fresh: bool = True) -> Actions[str]:  # noqa: ARG002  # each is new
        """See `Tokens.token`."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        target = f"/development/{self.provider}/token"
        return (yield from _text(Request("POST", target, headers, urlencode(self._form).encode())))


class TokenExchange:
    """Platform tokens in exchange for those of a provider (`maskinporten` or `id-porten`), until they expire.

    `external` returns a new token of the provider.
    """

    renewable = True

    def __init__(self, provider: str, external: Callable[[], Actions[str]]) -> None:
        self._provider, self._external = provider, external
        self._token, self._expiry = "", 0.0

    def token(self, *, fresh: bool) -> Actions[str]:
        """See `Tokens.token`."""
        if fresh or time.time() > self._expiry - EXPIRES_SECONDS:
            external = _require_token((yield from self._external()), source="the provider")
            headers = {"Authorization": f"Bearer {external}"}
            self._token = yield from _text(Request("GET", f"/authentication/api/v1/exchange/{self._provider}", headers))
            self._expiry = _expiry(self._token)
        return self._token


def token_exchange(external: Callable[[], str | Awaitable[str]], *, provider: str = "maskinporten") -> Tokens:
    """Return a source of platform tokens in exchange for those of `external`, which returns a new one at each call.

    `AsyncClient` calls `external` in a thread, and awaits its result if it is awaitable.
    """

    def call() -> Actions[str]:
        return str((yield Call(external)))

    return TokenExchange(provider, call)


def development_organisation(number: str, *, scope: str) -> Tokens:
    """Return tokens of an organisation (9 digits) with these scopes, from the service's development Maskinporten."""
    return TokenExchange("maskinporten", IssuerTokens("maskinporten", {"org_number": number, "scope": scope}).token)


def development_system_user(uuid: str, *, owner: str, vendor: str, scope: str) -> Tokens:
    """Return tokens of a system user of the organisation `owner` in a system of `vendor`, like those of the vendor."""
    form = {"org_number": vendor, "scope": scope, "system_user": uuid, "system_user_org": owner}
    return TokenExchange("maskinporten", IssuerTokens("maskinporten", form).token)


def development_person(number: str, *, level: str = "high") -> Tokens:
    """Return tokens of a person (11 digits) at a level of assurance, from the service's development ID-porten."""
    return TokenExchange("id-porten", IssuerTokens("id-porten", {"person": number, "level": level}).token)


def _text(request: Request) -> Actions[str]:
    outcome = yield request
    if not isinstance(outcome, Response) or outcome.status in TEMPORARY_STATUSES:
        raise TokenUnavailableError(request, outcome)
    if not outcome.is_success:
        raise refusal(request.target, outcome)
    return _require_token(outcome.body.decode(errors="replace").strip(), source=request.target)


def _require_token(text: str, *, source: str) -> str:
    """Return a text that is a bearer token. Raises `FeedError`, without the text."""
    if len(text) > _TOKEN_LENGTH_MAX or not _TOKEN.fullmatch(text):
        raise FeedError(f"The token of {source} is no bearer token (RFC 6750).")
    return text


def _expiry(token: str) -> float:
    """Return the time in the token at which it expires (s since 1970); infinity if it has none."""
    try:
        middle = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return float("inf")
