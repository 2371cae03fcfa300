"""Where the platform token comes from, and when a new one is needed."""

import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import urlencode

import msgspec

from eventfeed.client.errors import refusal
from eventfeed.client.steps import Answer, Call, Outcome, Request, Steps

# A token that ends sooner is as good as ended: a request takes a while.
EXPIRES_SECONDS = 15.0
PASSING = frozenset({429, 500, 502, 503, 504})


class NotNowError(Exception):
    """The service did not answer, or asked to come back after some seconds."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("no token now")
        self.outcome = outcome


class Tokens(Protocol):
    """A source of platform tokens."""

    # Whether another token may be had when one is refused.
    renewable: bool

    def token(self, *, fresh: bool) -> Steps[str]:
        """A token, "" for none; a new one when it must be `fresh`. Raises `NotNowError` and `RefusedError`."""
        ...


class Fixed:
    """The same token for ever, or none."""

    renewable = False

    def __init__(self, token: str = "") -> None:
        self._token = token

    def token(self, *, fresh: bool) -> Steps[str]:  # noqa: ARG002  # there is no other
        """See `Tokens.token`."""
        yield from ()
        return self._token


class Exchanged:
    """Platform tokens in exchange for those of a provider (`maskinporten` or `id-porten`), renewed before they end."""

    renewable = True

    def __init__(self, provider: str, external: Callable[[], Steps[str]]) -> None:
        self._provider, self._external = provider, external
        self._token, self._ends = "", 0.0

    def token(self, *, fresh: bool) -> Steps[str]:
        """See `Tokens.token`."""
        if fresh or time.time() > self._ends - EXPIRES_SECONDS:
            headers = {"Authorization": f"Bearer {(yield from self._external())}"}
            self._token = yield from _text(Request("GET", f"/authentication/api/v1/exchange/{self._provider}", headers))
            self._ends = _ends(self._token)
        return self._token


def exchanged(external: Callable[[], str | Awaitable[str]], *, provider: str = "maskinporten") -> Tokens:
    """Tokens in exchange for what `external` gives: a fresh token of the provider, each time it is called.

    `AsyncClient` calls a plain function in a thread, and awaits what another gives.
    """

    def asked() -> Steps[str]:
        return str((yield Call(external)))

    return Exchanged(provider, asked)


def development_organisation(number: str, *, scope: str) -> Tokens:
    """Tokens of an organisation (9 digits) with these scopes, from a service's own development Maskinporten."""
    return development_tokens("maskinporten", {"org_number": number, "scope": scope})


def development_person(number: str, *, level: str = "high") -> Tokens:
    """Tokens of a person (11 digits) known at a level, from a service's own development ID-porten."""
    return development_tokens("id-porten", {"person": number, "level": level})


def development_tokens(provider: str, form: Mapping[str, str]) -> Tokens:
    """Tokens of whom this form names, from a development provider."""
    sent = {"Content-Type": "application/x-www-form-urlencoded"}

    def asked() -> Steps[str]:
        return (yield from _text(Request("POST", f"/development/{provider}/token", sent, urlencode(form).encode())))

    return Exchanged(provider, asked)


def _text(request: Request) -> Steps[str]:
    outcome = yield request
    if not isinstance(outcome, Answer) or outcome.status in PASSING:
        raise NotNowError(outcome)
    if not outcome.success:
        raise refusal(request.target, outcome)
    return outcome.body.decode()


def _ends(token: str) -> float:
    """When a token ends (s since 1970), by its own word; never, when it says nothing: then the service will."""
    try:
        middle = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, msgspec.DecodeError):
        return float("inf")
