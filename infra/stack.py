"""The configuration of a stack. `read_stack` is its only reader and reports every fault at once."""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
from pulumi.runtime import is_config_secret
from pulumi.runtime.config import CONFIG

from keys import EXAMPLES, KEYS, NO_IMAGE, OTHER_REGION, REGIONS

SYSTEM = "eventfeed"
_SUBSCRIPTION_KEY = "platformSubscriptionKey"
_LOCATION = "azure-native:location"


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
class CustomDomain:
    """A host name for the gateway, and the resource id of its certificate: a secret in a vault of the operator."""

    host: str
    certificate_id: str

    @property
    def vault_id(self) -> str:
        """The resource id of the vault."""
        return self.certificate_id.rpartition("/secrets/")[0]

    @property
    def certificate_url(self) -> str:
        """The address of the certificate, without a version, so that the gateway reads each renewal."""
        vault, _, name = self.certificate_id.rpartition("/secrets/")
        return f"https://{vault.rpartition('/')[2].lower()}.vault.azure.net/secrets/{name}"


@dataclass(frozen=True, kw_only=True)
class SecondRegion:
    """A region that takes over when the first one is lost. `serves` is True if the gateway prefers its app."""

    location: str
    serves: bool


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
    second_region: SecondRegion | None
    production: bool
    operator_name: str
    operator_email: str
    maskinporten: Issuer
    idporten: Issuer | None
    platform: Platform
    custom_domain: CustomDomain | None
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
    faults = [
        *(*_unknown_names(), *_invalid_values(values), *_contradictions(values)),
        *(*_incomplete_domain(values), *_invalid_region(values, location), *_invalid_second_region(values, location)),
    ]
    if faults:
        raise StackError("The configuration of this stack is invalid:\n" + "\n".join(f"- {fault}" for fault in faults))
    return _stack(values, location, subscription_key=config.get_secret(_SUBSCRIPTION_KEY))


def _stack(values: Mapping[str, str], location: str, *, subscription_key: pulumi.Output[str] | None) -> Stack:
    return Stack(
        name=pulumi.get_stack(),
        location=location,
        second_region=_second_region(values),
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
        custom_domain=_custom_domain(values),
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


def _second_region(values: Mapping[str, str]) -> SecondRegion | None:
    location = values["secondLocation"]
    return SecondRegion(location=location, serves=values["servingLocation"] == location) if location else None


def _custom_domain(values: Mapping[str, str]) -> CustomDomain | None:
    if not values["customDomain"]:
        return None
    return CustomDomain(host=values["customDomain"], certificate_id=values["domainCertificate"])


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
    elif _is_unknown(location, values):
        yield _unknown_region(_LOCATION, location, command)


def _invalid_second_region(values: Mapping[str, str], location: str) -> Iterator[str]:
    second, serving = values["secondLocation"], values["servingLocation"]
    removal = f"pulumi config rm {SYSTEM}:secondLocation"
    if serving and serving not in (location, second):
        yield (
            f"{SYSTEM}:servingLocation is {serving!r}, where no app of this stack runs. "
            f"pulumi config rm {SYSTEM}:servingLocation"
        )
    if not second:
        return
    if serving == second != location:
        removal += f" && pulumi config rm {SYSTEM}:servingLocation"
    command = _command("secondLocation", next(each for each in REGIONS if each != location))
    if values["production"] != "true":
        yield f"{SYSTEM}:secondLocation is for production: a serverless store has one region. {removal}"
    if second == location:
        yield f"{SYSTEM}:secondLocation is the first region. {command}. With one region: {removal}"
    elif _is_unknown(second, values):
        yield _unknown_region(f"{SYSTEM}:secondLocation", second, command)


def _is_unknown(location: str, values: Mapping[str, str]) -> bool:
    return location not in REGIONS and location != values["otherRegion"]


def _unknown_region(key: str, location: str, command: str) -> str:
    fault = (
        f"{key} is {location!r}, whose zones and tiers are not known here. Use one of {', '.join(REGIONS)}: {command}"
    )
    # No region of Azure has another form of name, such as that of its display name.
    if re.fullmatch(OTHER_REGION, location) is None:
        return fault
    return f"{fault}. If all of them exist there: {_command('otherRegion', location)}"


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
        command = _command("idportenAudiences", EXAMPLES["idportenAudiences"])
        yield f"{SYSTEM}:idportenAudiences is missing: without it every token of the issuer is accepted. {command}"
    if values["idportenAudiences"] and not values["idportenIssuer"]:
        command = _command("idportenIssuer", EXAMPLES["idportenIssuer"])
        yield f"{SYSTEM}:idportenIssuer is missing: no token has these audiences. {command}"
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


def _incomplete_domain(values: Mapping[str, str]) -> Iterator[str]:
    if values["customDomain"] and not values["domainCertificate"]:
        command = _command("domainCertificate", EXAMPLES["domainCertificate"])
        yield f"{SYSTEM}:domainCertificate is missing: the gateway has no certificate for the domain. {command}"
    if values["domainCertificate"] and not values["customDomain"]:
        command = _command("customDomain", EXAMPLES["customDomain"])
        yield f"{SYSTEM}:customDomain is missing: the certificate would have no use. {command}"
    if values["customDomain"] and values["image"] == NO_IMAGE:
        yield (
            f"{SYSTEM}:customDomain needs a DNS record that points to the gateway. The gateway gets its name in the "
            f"first `pulumi up`, without an image. "
            f"pulumi config rm {SYSTEM}:customDomain && pulumi config rm {SYSTEM}:domainCertificate"
        )


def _command(name: str, value: str) -> str:
    return f"pulumi config set {SYSTEM}:{name} {value}"
