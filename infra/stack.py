"""The configuration of a stack. `read_stack` is its only reader and reports every fault at once."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pulumi
from pulumi.runtime import is_config_secret
from pulumi.runtime.config import CONFIG

SYSTEM = "eventfeed"
# The value of `image` before there is one: the stack then has a registry and no service.
NO_IMAGE = "none"

# The regions with availability zones and with every tier of both stacks:
# https://learn.microsoft.com/azure/reliability/regions-list
# https://learn.microsoft.com/azure/api-management/api-management-region-availability
REGIONS = (
    *("norwayeast", "swedencentral", "northeurope", "westeurope"),
    *("francecentral", "germanywestcentral", "italynorth", "switzerlandnorth"),
)
_SUBSCRIPTION_KEY = "platformSubscriptionKey"
_LOCATION = "azure-native:location"

_URL = r"https://[^\s?#]+"
_NAME = r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?"
_NAMES = f"{_NAME}( {_NAME})*"


class Key(NamedTuple):
    """A configuration key: its meaning, the pattern of its values, an example, and its default if it has one."""

    name: str
    meaning: str
    pattern: str
    example: str
    default: str | None = None


KEYS = (
    Key("production", "true creates a stack for real users", "true|false", "false"),
    Key("operatorName", "the operator's name, which the gateway publishes", r".{1,100}", '"Your agency"'),
    Key(
        "operatorEmail",
        "the address for alerts and budget notifications",
        r"[^@\s]+@[^@\s]+\.[^@\s]+",
        "drift@example.no",
    ),
    Key("maskinportenIssuer", "the issuer of Maskinporten tokens", _URL, "https://test.maskinporten.no/"),
    Key("maskinportenAudiences", "accepted audiences or client ids", r"\S+( \S+)*", "https://example.no/events"),
    Key("idportenIssuer", "the issuer of ID-porten tokens", f"({_URL})?", "https://test.idporten.no", ""),
    Key("idportenAudiences", "accepted audiences or client ids", r"(\S+( \S+)*)?", "a-client-id", ""),
    Key("platformUrl", "the platform of the register and the decision point", _URL, "https://platform.altinn.no"),
    Key("platformOrgsUrl", "the platform's list of organisations", _URL, "https://altinncdn.no/orgs/altinn-orgs.json"),
    Key(
        "appTokenKeys",
        "the address of the public keys of app tokens",
        r"(https://[^\s?#@]+)?",
        "https://keys.example.no/apps",
        "",
    ),
    Key(
        "platformIssuer",
        "the issuer of the platform's own tokens",
        f"({_URL})?",
        "https://platform.altinn.no/authentication/api/v1/openid/",
        "",
    ),
    Key("signingKeys", "names of the keys that verify tokens; the last one signs", _NAMES, "2026-12"),
    Key("gatewaySecrets", "names of the accepted secrets; the gateway sends the last one", _NAMES, "2026-12"),
    Key(
        "corsOrigins",
        "origins that may call from a browser",
        r"(https://[^\s/?#]+( https://[^\s/?#]+)*)?",
        '""',
        "",
    ),
    Key("retentionDays", "the retention of events (days)", r"[1-9][0-9]{0,3}", "90", "90"),
    Key("throughput", "the maximum throughput of the log (RU/s, thousands)", r"[1-9][0-9]{0,2}000", "4000", "4000"),
    Key("budget", "the monthly budget in the subscription's currency", r"[1-9][0-9]{0,7}", "3000"),
    Key(
        "image",
        f"the image to run, `{NO_IMAGE}` before there is one",
        f"eventfeed@sha256:[0-9a-f]{{64}}|{NO_IMAGE}",
        NO_IMAGE,
    ),
    Key("stableRevision", "the revision for the rest of the traffic", r"([a-z0-9-]{1,64})?", '""', ""),
    Key("otherRegion", "a region that is used although it is not listed here", r"([a-z0-9]{1,40})?", '""', ""),
    Key("newestWeight", "the newest revision's share of the traffic (%)", r"[0-9]|[1-9][0-9]|100", "100", "100"),
)


class StackError(pulumi.RunError):
    """The configuration is invalid. The message lists each fault with the command that corrects it."""


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """A token issuer, and the audiences or client ids to accept in its tokens, separated by spaces."""

    url: str
    audiences: str


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The platform with the register and the decision point. Its gateway may require a subscription key.

    `app_token_keys` is the address of the public keys of its apps, and `issuer` its own issuer; "" if their tokens are
    not accepted.
    """

    url: str
    orgs_url: str
    app_token_keys: str
    issuer: str
    subscription_key: pulumi.Output[str] | None


@dataclass(frozen=True, kw_only=True)
class Release:
    """The image by digest, and the newest revision's share of the traffic."""

    image: str
    stable_revision: str
    newest_weight: int

    @property
    def has_service(self) -> bool:
        """True if there is an image to run."""
        return self.image != NO_IMAGE


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The settings that differ between stacks."""

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
    release: Release

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of every resource that supports tags."""
        return {"system": SYSTEM, "environment": self.name, "managed-by": "pulumi"}


def read_stack() -> Stack:
    """Read the configuration of the current stack. Raises `StackError` with every fault."""
    config = pulumi.Config(SYSTEM)
    location = pulumi.Config("azure-native").get("location") or ""
    values = {key.name: config.get(key.name) or key.default or "" for key in KEYS}
    faults = [*_unknown_names(), *_invalid_values(values), *_contradictions(values), *_invalid_region(values, location)]
    if faults:
        raise StackError("The configuration of this stack is invalid:\n" + "\n".join(f"- {fault}" for fault in faults))
    return _stack(values, location, subscription_key=config.get_secret(_SUBSCRIPTION_KEY))


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
            url=values["platformUrl"],
            orgs_url=values["platformOrgsUrl"],
            app_token_keys=values["appTokenKeys"],
            issuer=values["platformIssuer"],
            subscription_key=subscription_key,
        ),
        signing_keys=tuple(values["signingKeys"].split()),
        gateway_secrets=tuple(values["gatewaySecrets"].split()),
        cors_origins=tuple(values["corsOrigins"].split()),
        retention_days=int(values["retentionDays"]),
        throughput=int(values["throughput"]),
        budget=int(values["budget"]),
        release=Release(
            image=values["image"],
            stable_revision=values["stableRevision"],
            newest_weight=int(values["newestWeight"]),
        ),
    )


def _idporten(values: Mapping[str, str]) -> Issuer | None:
    if not values["idportenIssuer"]:
        return None
    return Issuer(url=values["idportenIssuer"], audiences=values["idportenAudiences"])


def _unknown_names() -> Iterator[str]:
    """Yield a fault for each setting of this system that no key defines, and for a secret in clear."""
    valid_names = [*(key.name for key in KEYS), _SUBSCRIPTION_KEY]
    names = [name.removeprefix(f"{SYSTEM}:") for name in CONFIG.get() if name.startswith(f"{SYSTEM}:")]
    for name in sorted(set(names).difference(valid_names)):
        hint = "".join(f" Is it {close}?" for close in difflib.get_close_matches(name, valid_names, n=1))
        yield f"{SYSTEM}:{name} is unknown.{hint} pulumi config rm {SYSTEM}:{name}"
    if _SUBSCRIPTION_KEY in names and not is_config_secret(f"{SYSTEM}:{_SUBSCRIPTION_KEY}"):
        yield (
            f"{SYSTEM}:{_SUBSCRIPTION_KEY} stands in clear in the stack's file. "
            f"pulumi config set --secret {SYSTEM}:{_SUBSCRIPTION_KEY}"
        )


def _invalid_region(values: Mapping[str, str], location: str) -> Iterator[str]:
    command = f"pulumi config set {_LOCATION} {REGIONS[0]}"
    if not location:
        yield f"{_LOCATION} is missing: {command}"
    elif location not in REGIONS and location != values["otherRegion"]:
        yield (
            f"{_LOCATION} is {location!r}, whose zones and tiers are not known here. Use one of {', '.join(REGIONS)}: "
            f"{command}. If all of them exist there: {_command('otherRegion', location)}"
        )


def _invalid_values(values: Mapping[str, str]) -> Iterator[str]:
    for key in KEYS:
        value = values[key.name]
        if re.fullmatch(key.pattern, value) is None:
            fault = f"is invalid ({value!r})" if value else "is missing"
            yield f"{SYSTEM}:{key.name} {fault}: {key.meaning}. {_command(key.name, key.example)}"


def _contradictions(values: Mapping[str, str]) -> Iterator[str]:
    for name in ("signingKeys", "gatewaySecrets"):
        unique_names = dict.fromkeys(values[name].split())
        if len(unique_names) < len(values[name].split()):
            yield f"{SYSTEM}:{name} contains a name twice. {_command(name, ' '.join(unique_names))}"
    if values["idportenIssuer"] and not values["idportenAudiences"]:
        command = _command("idportenAudiences", "…")
        yield f"{SYSTEM}:idportenAudiences is missing: without it every token of the issuer is accepted. {command}"
    if values["idportenAudiences"] and not values["idportenIssuer"]:
        yield f"{SYSTEM}:idportenIssuer is missing: no token has these audiences. {_command('idportenIssuer', '…')}"
    if values["idportenIssuer"] and values["idportenIssuer"] == values["maskinportenIssuer"]:
        command = _command("idportenIssuer", "https://idporten.no")
        yield f"{SYSTEM}:idportenIssuer is the issuer of Maskinporten: people would be organisations. {command}"
    if values["image"] == NO_IMAGE and values["stableRevision"]:
        yield (
            f"{SYSTEM}:stableRevision is set, but without an image there is no revision. "
            f"pulumi config rm {SYSTEM}:stableRevision"
        )
    if values["newestWeight"] != "100" and not values["stableRevision"]:
        command = _command("newestWeight", "100")
        yield f"{SYSTEM}:stableRevision is missing: no revision receives the rest of the traffic. {command}"


def _command(name: str, value: str) -> str:
    return f"pulumi config set {SYSTEM}:{name} {value}"
