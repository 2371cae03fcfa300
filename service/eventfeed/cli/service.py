"""The service as the command line sees it: HTTP, a token, patience."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, NoReturn

import click
import httpx
import msgspec

from eventfeed.client.tokens import Fixed, Tokens, development_tokens
from eventfeed.settings import Settings, loopback

# A publish of 2 MiB over a slow line, and a page of 8 MiB back.
REQUEST_SECONDS_MAX = 60.0
# About two minutes in all, then a person should look.
TRIES_MAX = 10
BACKOFF_SECONDS = 0.5
BACKOFF_SECONDS_MAX = 20.0
# Told to come back: an overloaded or a restarting service, or a gateway before one.
PASSING = frozenset({429, 502, 503, 504})


class Identity(NamedTuple):
    """Whom a development issuer is asked for a token for: the provider, and the fields of its form."""

    provider: str
    form: Mapping[str, str]


def organisation(number: str, *, scope: str) -> Identity:
    """An organisation (9 digits) with these scopes, of Maskinporten."""
    return Identity("maskinporten", {"org_number": number, "scope": scope})


def person(number: str, *, level: str = "high") -> Identity:
    """A person (11 digits), known at a level, of ID-porten."""
    return Identity("id-porten", {"person": number, "level": level})


# Whom the command line stands for when it is given no token and a feed names nobody: Testdepartementet.
DEVELOPMENT_ORGANISATION = "991825827"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a request, as the service names it."""

    detail: str
    parameter: str | None = None
    pointer: str | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The service's own account of a refusal (RFC 9457)."""

    detail: str
    code: str = ""
    errors: tuple[Fault, ...] = ()
    oldest_cursor: str | None = msgspec.field(name="oldestCursor", default=None)

    def __str__(self) -> str:
        faults = [f"{fault.parameter or fault.pointer or ''} {fault.detail}".strip() for fault in self.errors]
        return " ".join([self.detail, *(f"[{fault}]" for fault in faults)])


class _NotNowError(click.ClickException):
    """A token that could not be had yet, but may be in a while."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(f"{answer.request.url}: {answer.status_code} {problem_of(answer)}")
        self.answer = answer


class Service:
    """Requests to one service, tried again while the failure may pass.

    Sends `token`, or gets itself one for a development identity and renews it when it has expired. Without either it
    asks as nobody.
    """

    def __init__(self, url: str, *, token: str, identity: Identity | None) -> None:
        self.url = url.rstrip("/")
        self._fixed, self._identity = token, identity
        self._token = token
        # A service that never answered is more likely misnamed than restarting.
        self._reached = False
        self._client = client_for(self.url)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def get(self, path: str, params: Sequence[tuple[str, str]], *, for_ever: bool = False) -> httpx.Response:
        """A GET, answered with anything but a failure that passes; `for_ever` never gives up on those."""

        def send() -> httpx.Response:
            return self._client.get(self.url + path, params=list(params), headers=self._authorized())

        return self._with_retries(send, for_ever=for_ever)

    def post(
        self,
        path: str,
        content: bytes,
        *,
        media_type: str,
        params: Sequence[tuple[str, str]] = (),
        for_ever: bool = False,
    ) -> httpx.Response:
        """A POST, answered with anything but a failure that passes; `for_ever` never gives up on those."""

        def send() -> httpx.Response:
            headers = {**self._authorized(), "Content-Type": media_type}
            return self._client.post(self.url + path, params=list(params), content=content, headers=headers)

        return self._with_retries(send, for_ever=for_ever)

    def _authorized(self) -> Mapping[str, str]:
        if not self._token and self._identity is None:
            return {}
        if not self._token and self._identity is not None:
            self._token = platform_token(self._client, self.url, identity=self._identity)
        return {"Authorization": f"Bearer {self._token}"}

    def _with_retries(self, send: Callable[[], httpx.Response], *, for_ever: bool) -> httpx.Response:
        renewed, tried = False, 0
        while True:
            tried += 1
            try:
                answer = send()
            except _NotNowError as not_now:
                answer = not_now.answer
            except httpx.TransportError as failure:
                if not self._reached or (tried >= TRIES_MAX and not for_ever):
                    raise unreachable(self.url, failure) from None
                _pause(tried, "")
                continue
            self._reached = True
            if answer.status_code == httpx.codes.UNAUTHORIZED and not (self._fixed or renewed):
                self._token, renewed = "", True
            elif answer.status_code in PASSING and (for_ever or tried < TRIES_MAX):
                _pause(tried, answer.headers.get("retry-after", ""))
            else:
                return answer


def external_token(client: httpx.Client, url: str, *, identity: Identity) -> str:
    """A token of one of the service's development issuers. Raises `ClickException` where there is none."""
    answer = _now(client.post(f"{url}/development/{identity.provider}/token", data=identity.form))
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise no_development(url)
    return expected(answer).text


def platform_token(client: httpx.Client, url: str, *, identity: Identity) -> str:
    """The platform token of a development identity. Raises `ClickException` when it is refused."""
    headers = {"Authorization": f"Bearer {external_token(client, url, identity=identity)}"}
    exchange = f"{url}/authentication/api/v1/exchange/{identity.provider}"
    return expected(_now(client.get(exchange, headers=headers))).text


def _now(answer: httpx.Response) -> httpx.Response:
    if answer.status_code in PASSING:
        raise _NotNowError(answer)
    return answer


def problem_of(answer: httpx.Response) -> Problem:
    """What a refusal says of itself; its status when it says nothing."""
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem(detail=f"answered with status {answer.status_code}")


def expected(answer: httpx.Response) -> httpx.Response:
    """The answer when it is a success. Raises `ClickException` with the service's own words otherwise."""
    if not answer.is_success:
        refused(answer)
    return answer


def refused(answer: httpx.Response) -> NoReturn:
    """Tell what the service refused, and why."""
    problem = problem_of(answer)
    raise click.ClickException(f"{answer.request.url.copy_with(query=None)}: {answer.status_code} {problem}")


def no_development(url: str) -> click.ClickException:
    """What to tell when a service is not its own provider of identities."""
    return click.ClickException(f"{url} has no development identities; set EVENTFEED_TOKEN to a platform token.")


def tokens_of(settings: Settings, identity: Identity | None) -> Tokens | None:
    """What a feed is read with: the token of the settings, else a development identity's, else none."""
    if identity is None:
        return None
    if settings.token:
        return Fixed(settings.token)
    return development_tokens(identity.provider, identity.form)


def unreachable(url: str, failure: Exception) -> click.ClickException:
    """What to tell when nobody answers."""
    reason = str(failure) or type(failure).__name__
    return click.ClickException(
        f"No service answers at {url} ({reason}). Start one with `make run`, or name it with --url."
    )


def client_for(url: str) -> httpx.Client:
    """A client; a proxy of the environment is not asked for what is on this machine."""
    return httpx.Client(timeout=REQUEST_SECONDS_MAX, trust_env=not loopback(httpx.URL(url).host))


def url_of(settings: Settings, given: str | None) -> str:
    """Where the service is: as given, else as it is known to the public, else as it would listen here."""
    url = (given or settings.public_url or settings.own_url).rstrip("/")
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise click.UsageError(f"{url} is no address of a service; write it as http://127.0.0.1:8080.")
    return url


def backoff_seconds(tried: int) -> float:
    """A random while whose most doubles with each try."""
    most: float = min(BACKOFF_SECONDS * 2 ** min(tried, TRIES_MAX), BACKOFF_SECONDS_MAX)
    return most * random.random() / 2  # noqa: S311  # spreads clients, guards nothing


def _pause(tried: int, retry_after: str) -> None:
    told = min(float(retry_after), BACKOFF_SECONDS_MAX) if retry_after.isdecimal() else 0.0
    time.sleep(told + backoff_seconds(tried))
