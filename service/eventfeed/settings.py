"""Every setting: name, default, unit and meaning. The only reader of the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from eventfeed.network import is_loopback

PREFIX = "EVENTFEED_"
SECRETS = frozenset({"token", "old_token", "platform_subscription_key", "cosmos_key", "gateway_secret"})

_SQLITE = "sqlite:///"
_COSMOS = re.compile(r"cosmos://(?P<host>[A-Za-z0-9.:\[\]-]+)/(?P<database>[A-Za-z0-9_-]{1,200})")

# Characters that a header may hold, without spaces.
Ascii = Annotated[str, Meta(pattern=r"^[!-~]*$")]
BaseUrl = Annotated[str, Meta(pattern=r"^(https?://[^/?#\s]+(/[^?#\s]*)?)?$")]
Issuer = Annotated[str, Meta(pattern=r"^(https://[^?#\s]+)?$")]
Days = Annotated[float, Meta(gt=0, le=36500, extra={"unit": "days"})]
Count = Annotated[int, Meta(ge=0, le=100_000)]
Rate = Annotated[int, Meta(ge=1, le=1_000_000, extra={"unit": "per minute"})]


class SettingsError(Exception):
    """Settings that cannot be used; the message names each with its fix."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, with their bounds and meaning. The environment variables: `EVENTFEED_` and the name in capitals."""

    store: Annotated[
        str, "sqlite:///relative/path, sqlite:////absolute/path, or cosmos://{account-host}/{database}."
    ] = f"{_SQLITE}.eventfeed/log.db"
    cosmos_key: Annotated[
        Ascii,
        "The key of a Cosmos DB emulator on this machine. Other accounts are opened with the identity of the process.",
    ] = ""
    host: Annotated[str, Meta(min_length=1), "The address to listen on."] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535), "The port to listen on."] = 8080
    workers: Annotated[int, Meta(ge=1, le=64), "Server processes on the same store."] = 1
    public_url: Annotated[
        BaseUrl,
        "The service's URL for consumers, with which absolute links and the issuer of platform tokens begin. "
        "Empty: the loopback address of the service.",
    ] = ""
    retention_days: Annotated[Days, "The retention of events."] = 90
    identity_days: Annotated[
        Days, "The time in which Cosmos DB detects a repeated event. SQLite detects it while the event is kept."
    ] = 7
    keys: Annotated[
        str, "The directory of the signing keys, made at first start. Empty: `keys` beside the SQLite file."
    ] = ""
    register: Annotated[
        str,
        "A JSON file with organisations, people and the parties they may act for, used without a platform. "
        "Empty: the development population.",
    ] = ""
    policies: Annotated[
        str,
        "A file of Cedar policies that decide on reading, used without a platform. "
        "Empty: a party and those who may act for it, at level 3.",
    ] = ""
    platform_url: Annotated[
        BaseUrl, "The URL of the platform with register and decision point. Empty: local files."
    ] = ""
    platform_subscription_key: Annotated[Ascii, "The subscription key for the platform's gateway."] = ""
    platform_orgs_url: Annotated[
        str, Meta(pattern=r"^(https?://\S+)?$"), "The platform's list of organisations' short names (altinn-orgs.json)."
    ] = ""
    maskinporten_issuer: Annotated[
        Issuer,
        "The issuer of Maskinporten tokens, as in its discovery document. "
        "Empty: the development issuer, on a loopback address only.",
    ] = ""
    maskinporten_audiences: Annotated[str, "Accepted audiences or client ids in Maskinporten tokens, with spaces."] = ""
    idporten_issuer: Annotated[
        Issuer,
        "The issuer of ID-porten tokens, as in its discovery document. "
        "Empty: the development issuer if there is one, else tokens of people are not exchanged.",
    ] = ""
    idporten_audiences: Annotated[str, "Accepted audiences or client ids in ID-porten tokens, with spaces."] = ""
    app_token_keys: Annotated[
        str,
        "The directory or https address with the public keys of app tokens: {issuer}.jwks.json or {issuer}.pem. "
        "Empty: the header PlatformAccessToken is ignored.",
    ] = ""
    platform_issuer: Annotated[
        BaseUrl, "The platform's own issuer, as in its discovery document, whose tokens need no exchange. Empty: none."
    ] = ""
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        "The least severe level that is logged. `info` logs a line for each request.",
    ] = "warning"
    log_format: Annotated[
        Literal["text", "json"], "The format of the log on standard error: lines of text, or one JSON object a line."
    ] = "text"
    streams: Annotated[Count, "The maximum number of open event streams for each process."] = 5_000
    caller_streams: Annotated[Count, "The maximum number of open event streams of one caller, for each process."] = 100
    waits: Annotated[Count, "The maximum number of waiting long polls for each process; others do not wait."] = 10_000
    caller_waits: Annotated[Count, "The maximum number of waiting long polls of one caller, for each process."] = 1_000
    response_mib: Annotated[
        int,
        Meta(ge=32, le=65_536, extra={"unit": "MiB"}),
        "The memory for large pages and streams that clients are reading, for each process; beyond it 503.",
    ] = 256
    anonymous_percent: Annotated[
        int,
        Meta(ge=0, le=100, extra={"unit": "%"}),
        "The part of streams, waits and response memory that all callers without a token may use together; "
        "of the memory always one page of 8 MiB.",
    ] = 25
    publish_rate: Annotated[Count, "Events of one organisation a second, in each process. 0: without a limit."] = 0
    audit: Annotated[
        Literal["reportees", "others"],
        "Pages in the audit log: those of all parties, or with `others` each that shows another party than the caller.",
    ] = "reportees"
    address_requests: Annotated[Rate, "Requests of one address to the open instance feed, in each process."] = 600
    instance_requests: Annotated[Rate, "Requests for one instance, in each process."] = 60
    client_address_header: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9-]*$"),
        "The header with the client's address, such as X-Forwarded-For, set by a trusted gateway. "
        "Empty: the address of the connection.",
    ] = ""
    gateway_secret: Annotated[
        str,
        # At least 16 characters each.
        Meta(pattern=r"^([!-~]{16,}( [!-~]{16,})*)?$"),
        "The secret in the header X-Gateway-Secret of requests through the gateway, or several secrets separated "
        "by spaces. Empty: requests need no secret.",
    ] = ""
    token: Annotated[Ascii, "The platform token that the command line sends. Empty: a development token."] = ""
    old_token: Annotated[Ascii, "The token that `eventfeed compare` sends to the replaced platform."] = ""

    @property
    def app_token_keys_url(self) -> str:
        """The address of the keys of app tokens; "" if a directory has them, or none are set."""
        return self.app_token_keys if "://" in self.app_token_keys else ""

    @property
    def development(self) -> bool:
        """True if the service issues development identities: it has no issuer, and only this machine reaches it."""
        local = self.cosmos is None or self.cosmos.emulator
        return not self.has_issuer and is_loopback(self.host) and local

    @property
    def has_issuer(self) -> bool:
        """True if the service accepts tokens of a real issuer. A platform on this machine is none."""
        platform_host = urlsplit(self.platform_issuer).hostname or "localhost"
        return bool(self.maskinporten_issuer or self.idporten_issuer) or not is_loopback(platform_host)

    @property
    def own_url(self) -> str:
        """The address this service listens on, as a URL without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def cosmos(self) -> "Cosmos | None":
        """The database in Cosmos DB; None for the embedded store."""
        match = _COSMOS.fullmatch(self.store)
        return Cosmos(match["host"], match["database"]) if match else None

    @property
    def sqlite_path(self) -> Path:
        """The file of the embedded store."""
        return Path(self.store.removeprefix(_SQLITE))

    @property
    def access_path(self) -> Path:
        """The file of approvals and the audit log, beside the store's."""
        return self.sqlite_path.with_suffix(".access.db")

    @property
    def clock_path(self) -> Path:
        """The file of the clock's reference, beside the store's."""
        return self.sqlite_path.with_suffix(".clock")

    @property
    def keys_path(self) -> Path:
        """The directory of the signing keys."""
        if self.keys:
            return Path(self.keys)
        return Path(".eventfeed" if self.cosmos else self.sqlite_path.parent) / "keys"


class Cosmos(NamedTuple):
    """A database in Cosmos DB: its account's host, perhaps with a port, and its name."""

    host: str
    database: str

    @property
    def emulator(self) -> bool:
        """True if it is an emulator on this machine."""
        return is_loopback(urlsplit(f"//{self.host}").hostname or "")

    @property
    def url(self) -> str:
        """The URL of the account; an emulator has no TLS."""
        return f"http://{self.host}/" if self.emulator else f"https://{self.host}/"


class SettingDescription(NamedTuple):
    """A setting as operators see it."""

    name: str
    default: object
    unit: str
    meaning: str


def describe_settings() -> Iterator[SettingDescription]:
    """Yield every setting, in the order of their declaration."""
    for field in msgspec.structs.fields(Settings):
        *bounds, meaning = field.type.__metadata__
        unit = next((each.extra["unit"] for each in bounds if each.extra), "")
        yield SettingDescription(field.name, field.default, unit, meaning)


def from_environment(**changes: str | int | None) -> Settings:
    """Return this process's settings; `changes`, by name, replace the environment's. Raises `SettingsError`."""
    variables = {f"{PREFIX}{name.upper()}": str(value) for name, value in changes.items() if value is not None}
    return load({**os.environ, **variables})


def hand_down(settings: Settings) -> None:
    """Pass the address to the processes that this one starts."""
    os.environ |= {f"{PREFIX}HOST": settings.host, f"{PREFIX}PORT": str(settings.port)}


def load(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment. Raises `SettingsError` with every fault."""
    variables = {name.removeprefix(PREFIX): value for name, value in environ.items() if name.startswith(PREFIX)}
    faults, values = list(_unknown_names(variables)), dict[str, object]()
    for field in msgspec.structs.fields(Settings):
        text = variables.get(field.encode_name.upper())
        if text is None:
            continue
        try:
            values[field.name] = msgspec.convert(text, field.type, strict=False)
        except msgspec.ValidationError:
            value = "…" if field.name in SECRETS else repr(text)
            faults.append(f"{PREFIX}{field.name.upper()}={value}: {_requirement(field.type)}")
    settings = Settings(**values)  # type: ignore[arg-type]  # each value was converted to its field's type
    faults += _contradictions(settings)
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def _requirement(annotation: Any) -> str:
    """Return what a value must be, from the type of its setting."""
    base, *bounds = get_args(annotation)
    if get_origin(base) is Annotated:
        base, *inner = get_args(base)
        bounds = [*inner, *bounds]
    if get_origin(base) is Literal:
        return f"must be one of {', '.join(get_args(base))}"
    limits = [each for each in bounds if isinstance(each, Meta)]
    if base in (int, float):
        kind = "a whole number" if base is int else "a number"
        return ", ".join([f"must be {kind}", *(text for each in limits for text in _limits(each))])
    if any(each.min_length for each in limits):
        return "must not be empty"
    return f"does not fit this setting. {next((each for each in bounds if isinstance(each, str)), '')}".strip()


def _limits(meta: Meta) -> Iterator[str]:
    names = {"more than": meta.gt, "at least": meta.ge, "less than": meta.lt, "at most": meta.le}
    yield from (f"{name} {value}" for name, value in names.items() if value is not None)


def _unknown_names(variables: Mapping[str, str]) -> Iterator[str]:
    names = {field.name.upper() for field in msgspec.structs.fields(Settings)}
    for name in sorted(variables.keys() - names):
        yield f"{PREFIX}{name}: no such setting; `eventfeed settings` lists them"


def _contradictions(settings: Settings) -> Iterator[str]:
    if faults := list(_invalid_urls(settings)):
        yield from faults
        return
    yield from _store_contradictions(settings)
    if settings.maskinporten_issuer and not settings.maskinporten_audiences.split():
        yield f"{PREFIX}MASKINPORTEN_AUDIENCES: needed when {PREFIX}MASKINPORTEN_ISSUER is set"
    if settings.idporten_issuer and not settings.idporten_audiences.split():
        yield f"{PREFIX}IDPORTEN_AUDIENCES: needed when {PREFIX}IDPORTEN_ISSUER is set"
    if settings.idporten_issuer and not settings.maskinporten_issuer:
        yield f"{PREFIX}MASKINPORTEN_ISSUER: needed when {PREFIX}IDPORTEN_ISSUER is set"
    if settings.gateway_secret and settings.development:
        yield (
            f"{PREFIX}GATEWAY_SECRET: is for a service with real issuers: "
            "with development issuers the service requests their keys from itself, not through a gateway"
        )
    yield from _platform_contradictions(settings)
    if not is_loopback(settings.host):
        if not settings.has_issuer:
            yield (
                f"{PREFIX}MASKINPORTEN_ISSUER: needed when listening on {settings.host}: "
                "development issuers need a loopback address"
            )
        if not settings.public_url:
            yield f"{PREFIX}PUBLIC_URL: needed when listening on {settings.host}"


def _invalid_urls(settings: Settings) -> Iterator[str]:
    issuers = ("platform_issuer", "maskinporten_issuer", "idporten_issuer")
    names = ("public_url", "platform_url", "platform_orgs_url", *issuers)
    urls = {**{name: getattr(settings, name) for name in names}, "app_token_keys": settings.app_token_keys_url}
    for name, url in {**urls, "store": f"//{settings.cosmos.host}" if settings.cosmos else ""}.items():
        try:
            _ = urlsplit(url).port
        except ValueError as failure:
            yield f"{PREFIX}{name.upper()}={getattr(settings, name)!r}: is not a URL: {failure}"


def _store_contradictions(settings: Settings) -> Iterator[str]:
    if settings.cosmos is None and (not settings.store.startswith(_SQLITE) or settings.store == _SQLITE):
        yield f"{PREFIX}STORE={settings.store!r}: must be sqlite:///path or cosmos://account-host/database"
    if settings.cosmos_key and not (settings.cosmos and settings.cosmos.emulator):
        yield f"{PREFIX}COSMOS_KEY: is for an emulator on this machine; other accounts are opened with an identity"
    if settings.cosmos and not settings.cosmos.emulator and not settings.has_issuer:
        yield (
            f"{PREFIX}MASKINPORTEN_ISSUER: needed with a store that is not on this machine: "
            "development issuers are for local stores only"
        )


def _platform_contradictions(settings: Settings) -> Iterator[str]:
    for name in ("platform_url", "platform_orgs_url", "platform_issuer"):
        parts = urlsplit(getattr(settings, name))
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            yield f"{PREFIX}{name.upper()}: must be https: others could read or change requests and responses"
    if url := settings.app_token_keys_url:
        parts = urlsplit(url)
        is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
        if not (is_private and parts.hostname) or any(each in url for each in "@?# "):
            yield f"{PREFIX}APP_TOKEN_KEYS: must be a directory, or an https address without user information and query"
    if settings.platform_url and not settings.platform_orgs_url:
        yield f"{PREFIX}PLATFORM_ORGS_URL: needed when {PREFIX}PLATFORM_URL is set: it lists the short names"
    if settings.has_issuer and not (settings.platform_url or settings.register):
        reason = "the development population has no real organisations"
        yield f"{PREFIX}PLATFORM_URL: needed, or {PREFIX}REGISTER, when an issuer is set: {reason}"
