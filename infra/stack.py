"""What is to be made: the one reader of the stack's configuration, which names every fault at once."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pulumi

SYSTEM = "eventfeed"
# Said in the place of an image: nothing runs yet. The registry must be there before there is an image in it.
NO_IMAGE = "none"

_URL = r"https://[^\s?#]+"
_NAMES = r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?"


class Key(NamedTuple):
    """A key of the configuration: what it is, what it looks like, and what it is when it is not set."""

    name: str
    meaning: str
    pattern: str
    example: str
    default: str | None = None


KEYS = (
    Key("production", "whether to make what is needed for real users", "true|false", "false"),
    Key("operatorName", "who runs this, as the gateway tells its callers", r".{1,100}", '"Your agency"'),
    Key("operatorEmail", "who is told of alerts and costs", r"[^@\s]+@[^@\s]+\.[^@\s]+", "drift@example.no"),
    Key("maskinportenIssuer", "the issuer of Maskinporten's tokens", _URL, "https://test.maskinporten.no/"),
    Key(
        "maskinportenAudiences", "the audiences or clients accepted in them", r"\S+( \S+)*", "https://example.no/events"
    ),
    Key("idportenIssuer", "the issuer of ID-porten's tokens", f"({_URL})?", "https://test.idporten.no", ""),
    Key("idportenAudiences", "the audiences or clients accepted in them", r"(\S+( \S+)*)?", "a-client-id", ""),
    Key("platformUrl", "the platform whose register and decision point are asked", _URL, "https://platform.altinn.no"),
    Key("platformOrgsUrl", "the platform's list of organisations", _URL, "https://altinncdn.no/orgs/altinn-orgs.json"),
    Key("signingKeys", "names of the keys that verify tokens, the last one signs", f"{_NAMES}( {_NAMES})*", "2026-12"),
    Key("gatewaySecrets", "names of what lets the gateway in, it says the last", f"{_NAMES}( {_NAMES})*", "2026-12"),
    Key(
        "corsOrigins",
        "the web pages that may call from a browser",
        r"(https://[^\s/?#]+( https://[^\s/?#]+)*)?",
        '""',
        "",
    ),
    Key("retentionDays", "how long events are kept (days)", r"[1-9][0-9]{0,3}", "90", "90"),
    Key("throughput", "the most that the log may use (RU/s, thousands)", r"[1-9][0-9]{0,2}000", "4000", "4000"),
    Key("budget", "what it may cost a month, in the subscription's currency", r"[1-9][0-9]{0,7}", "3000"),
    Key("budgetFrom", "the month from which that counts", r"20[0-9]{2}-(0[1-9]|1[0-2])-01", "2026-12-01"),
    Key("image", "the image that runs", r"(eventfeed@sha256:[0-9a-f]{64}|none)?", "eventfeed@sha256:…", ""),
    Key("source", "what the registry builds an image of", r"(https://\S+\.git#[0-9a-f]{40}(:\S+)?)?", '""', ""),
    Key("stableRevision", "the revision that keeps what the newest does not get", r"([a-z0-9-]{1,64})?", '""', ""),
    Key("newestWeight", "how much of the traffic the newest revision gets (%)", r"[0-9]|[1-9][0-9]|100", "100", "100"),
)


class StackError(pulumi.RunError):
    """A configuration that cannot be used; the message names each fault with the command that corrects it."""


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Whose tokens are exchanged, and which audiences or clients are accepted in them, separated by spaces."""

    url: str
    audiences: str


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The platform that knows people and decides; its gateway may ask for a key."""

    url: str
    orgs_url: str
    subscription_key: pulumi.Output[str] | None


@dataclass(frozen=True, kw_only=True)
class Release:
    """What runs: an image by digest, or one built of `source`, or nothing yet; and who gets how much of the traffic."""

    image: str
    source: str
    stable_revision: str
    newest_weight: int

    @property
    def runs(self) -> bool:
        """Whether there is anything to run."""
        return self.image != NO_IMAGE


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Everything that may differ from one stack to another."""

    name: str
    location: str
    production: bool
    operator_name: str
    operator_email: str
    maskinporten: Issuer
    idporten: Issuer | None
    platform: Platform
    signing_keys: tuple[str, ...]
    gateway_secrets: tuple[str, ...]
    cors_origins: tuple[str, ...]
    retention_days: int
    throughput: int
    budget: int
    budget_from: str
    release: Release

    @property
    def tags(self) -> Mapping[str, str]:
        """What everything that can carry tags is tagged with."""
        return {"system": SYSTEM, "environment": self.name, "managed-by": "pulumi"}


def read() -> Stack:
    """The stack that is being made. Raises `StackError` that names everything wrong at once."""
    config = pulumi.Config(SYSTEM)
    location = pulumi.Config("azure-native").get("location") or ""
    values = {key.name: config.get(key.name) or key.default or "" for key in KEYS}
    faults = [*_malformed(values), *_contradictions(values)]
    if not location:
        faults.append("azure-native:location is missing: pulumi config set azure-native:location norwayeast")
    if faults:
        raise StackError(
            "The configuration of this stack cannot be used:\n" + "\n".join(f"- {each}" for each in faults)
        )
    return _stack(values, location, subscription_key=config.get_secret("platformSubscriptionKey"))


def _stack(values: Mapping[str, str], location: str, *, subscription_key: pulumi.Output[str] | None) -> Stack:
    return Stack(
        name=pulumi.get_stack(),
        location=location,
        production=values["production"] == "true",
        operator_name=values["operatorName"],
        operator_email=values["operatorEmail"],
        maskinporten=Issuer(url=values["maskinportenIssuer"], audiences=values["maskinportenAudiences"]),
        idporten=_idporten(values),
        platform=Platform(
            url=values["platformUrl"], orgs_url=values["platformOrgsUrl"], subscription_key=subscription_key
        ),
        signing_keys=tuple(values["signingKeys"].split()),
        gateway_secrets=tuple(values["gatewaySecrets"].split()),
        cors_origins=tuple(values["corsOrigins"].split()),
        retention_days=int(values["retentionDays"]),
        throughput=int(values["throughput"]),
        budget=int(values["budget"]),
        budget_from=values["budgetFrom"],
        release=Release(
            image=values["image"],
            source=values["source"],
            stable_revision=values["stableRevision"],
            newest_weight=int(values["newestWeight"]),
        ),
    )


def _idporten(values: Mapping[str, str]) -> Issuer | None:
    if not values["idportenIssuer"]:
        return None
    return Issuer(url=values["idportenIssuer"], audiences=values["idportenAudiences"])


def _malformed(values: Mapping[str, str]) -> Iterator[str]:
    for key in KEYS:
        value = values[key.name]
        if re.fullmatch(key.pattern, value) is None:
            fault = "is missing" if not value else f"cannot be {value!r}"
            yield f"{SYSTEM}:{key.name} {fault}: {key.meaning}. {_fix(key.name, key.example)}"


def _contradictions(values: Mapping[str, str]) -> Iterator[str]:
    production, image, source = values["production"] == "true", values["image"], values["source"]
    for name in ("signingKeys", "gatewaySecrets"):
        once = dict.fromkeys(values[name].split())
        if len(once) < len(values[name].split()):
            yield f"{SYSTEM}:{name} has a name twice. {_fix(name, ' '.join(once))}"
    if values["idportenIssuer"] and not values["idportenAudiences"]:
        yield f"{SYSTEM}:idportenAudiences is missing: tokens for anybody would do. {_fix('idportenAudiences', '…')}"
    if image and source:
        yield f"{SYSTEM}:image and {SYSTEM}:source are both set: choose one. pulumi config rm {SYSTEM}:source"
    if production and source:
        yield f"{SYSTEM}:source is set: a closed registry builds nothing. {_fix('image', NO_IMAGE)}"
    if not image and not source:
        yield f"{SYSTEM}:image is missing: what runs, or `{NO_IMAGE}` until there is one. {_fix('image', NO_IMAGE)}"
    if values["newestWeight"] != "100" and not values["stableRevision"]:
        yield f"{SYSTEM}:stableRevision is missing: who gets the rest of the traffic. {_fix('newestWeight', '100')}"


def _fix(name: str, value: str) -> str:
    return f"pulumi config set {SYSTEM}:{name} {value}"
