"""Mistakes in the configuration of a stack: each is refused before anything is made, with the command that mends it."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.infra.mock_run import read_configuration, run_refused
from tests.infra.mutant_project import Mutation, create_mutant_project
from tests.infra.simulation.stack_files import DOMAIN_SETTINGS

CERTIFICATE = DOMAIN_SETTINGS["domainCertificate"]
DIGEST = f"sha256:{'1' * 64}"
# A setting as an operator may get it wrong, and the setting that the message must correct.
MISTAKES = (
    ("dev", {"production": "yes"}, "production"),
    ("dev", {"production": None}, "production"),
    ("dev", {"operatorName": None}, "operatorName"),
    ("dev", {"operatorName": "x" * 101}, "operatorName"),
    ("prod", {"operatorEmail": None}, "operatorEmail"),
    ("dev", {"operatorEmail": "drift"}, "operatorEmail"),
    ("dev", {"operatorEmail": "a@example.no, b@example.no"}, "operatorEmail"),
    ("dev", {"maskinportenIssuer": "http://test.maskinporten.no/"}, "maskinportenIssuer"),
    ("dev", {"maskinportenIssuer": ""}, "maskinportenIssuer"),
    ("dev", {"maskinportenAudiences": None}, "maskinportenAudiences"),
    ("dev", {"maskinportenAudiences": "one  two"}, "maskinportenAudiences"),
    ("dev", {"idportenIssuer": "test.idporten.no", "idportenAudiences": "x"}, "idportenIssuer"),
    ("dev", {"idportenIssuer": "https://test.idporten.no"}, "idportenAudiences"),
    ("dev", {"idportenAudiences": "a-client"}, "idportenIssuer"),
    ("dev", {"idportenIssuer": "https://test.maskinporten.no/", "idportenAudiences": "x"}, "idportenIssuer"),
    ("dev", {"platformUrl": "http://platform.example.no"}, "platformUrl"),
    ("dev", {"platformUrl": "https://platform.example.no?x=1"}, "platformUrl"),
    ("prod", {"platformOrgsUrl": None}, "platformOrgsUrl"),
    ("dev", {"appTokenKeys": "http://keys.example.no"}, "appTokenKeys"),
    ("dev", {"appTokenKeys": "https://user@keys.example.no/x?y"}, "appTokenKeys"),
    ("dev", {"platformIssuer": "platform.example.no"}, "platformIssuer"),
    ("dev", {"platformSubscriptionKey": "in clear"}, "platformSubscriptionKey"),
    ("prod", {"customDomain": "events.example.no"}, "domainCertificate"),
    ("prod", {"domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "https://events.example.no", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "example.no", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "*.example.no", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "Events.example.no", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "events.example.no.", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "events.example.no:443", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {"customDomain": "ours.azure-api.net", "domainCertificate": CERTIFICATE}, "customDomain"),
    ("prod", {**DOMAIN_SETTINGS, "domainCertificate": "managed"}, "domainCertificate"),
    ("prod", {**DOMAIN_SETTINGS, "domainCertificate": f"{CERTIFICATE}/0123456789abcdef"}, "domainCertificate"),
    ("prod", {**DOMAIN_SETTINGS, "domainCertificate": CERTIFICATE.rpartition("/")[0]}, "domainCertificate"),
    ("prod", {**DOMAIN_SETTINGS, "domainCertificate": "https://a.vault.azure.net/secrets/b"}, "domainCertificate"),
    ("prod", {**DOMAIN_SETTINGS, "image": "none"}, "customDomain"),
    ("dev", {"signingKeys": ""}, "signingKeys"),
    ("dev", {"signingKeys": "Key_1"}, "signingKeys"),
    ("dev", {"signingKeys": "2026-12, 2027-06"}, "signingKeys"),
    ("dev", {"signingKeys": "2026-12 2026-12"}, "signingKeys"),
    ("dev", {"gatewaySecrets": "a" * 21}, "gatewaySecrets"),
    ("dev", {"gatewaySecrets": "one one"}, "gatewaySecrets"),
    ("dev", {"corsOrigins": "*"}, "corsOrigins"),
    ("dev", {"corsOrigins": "https://a.example.no/page"}, "corsOrigins"),
    ("dev", {"corsOrigins": "http://localhost:3000"}, "corsOrigins"),
    ("dev", {"retentionDays": "0"}, "retentionDays"),
    ("dev", {"retentionDays": "90d"}, "retentionDays"),
    ("prod", {"throughput": "1500"}, "throughput"),
    ("prod", {"throughput": "4"}, "throughput"),
    ("dev", {"budget": "0"}, "budget"),
    ("dev", {"budget": "3 000"}, "budget"),
    ("prod", {"image": None}, "image"),
    ("dev", {"image": "eventfeed:latest"}, "image"),
    ("dev", {"image": f"other@{DIGEST}"}, "image"),
    ("dev", {"image": f"eventfeed1.azurecr.io/eventfeed@{DIGEST}"}, "image"),
    ("dev", {"image": "eventfeed@sha256:12ab"}, "image"),
    ("prod", {"newestWeight": "10"}, "newestWeight"),
    ("prod", {"newestWeight": "10%", "stableRevision": "eventfeed--a"}, "newestWeight"),
    ("dev", {"newestWeight": "101", "stableRevision": "eventfeed--a"}, "newestWeight"),
    ("dev", {"stableRevision": "Eventfeed--A"}, "stableRevision"),
    ("dev", {"stableRevision": "eventfeed--a", "image": "none"}, "stableRevision"),
    ("dev", {"signingKey": "2026-12"}, "signingKey"),
    ("dev", {"source": "https://example.no/x.git"}, "source"),
    ("dev", {"budgetFrom": "2026-12-01"}, "budgetFrom"),
    ("dev", {"azure-native:location": None}, "azure-native:location"),
    ("dev", {"azure-native:location": "mars"}, "azure-native:location"),
    ("dev", {"azure-native:location": "Norway East"}, "azure-native:location"),
    ("prod", {"azure-native:location": "norwaywest"}, "azure-native:location"),
    ("dev", {"secondLocation": "swedencentral"}, "secondLocation"),
    ("dev", {"secondLocation": "swedencentral", "servingLocation": "swedencentral"}, "secondLocation"),
    ("prod", {"secondLocation": "norwayeast"}, "secondLocation"),
    ("prod", {"secondLocation": "norwaywest"}, "secondLocation"),
    ("prod", {"secondLocation": "Sweden Central"}, "secondLocation"),
    ("prod", {"servingLocation": "swedencentral"}, "servingLocation"),
    ("prod", {"secondLocation": "swedencentral", "servingLocation": "westeurope"}, "servingLocation"),
)
MISTAKES_MIN = 40


def changes_of(message: str) -> Mapping[str, Any]:
    """Return the settings that the first command line in a message changes; a removed one is None."""
    line = "pulumi config " + re.split(r"\. (?:If|With) ", message.partition("pulumi config ")[2])[0]
    commands = [shlex.split(each)[2:] for each in line.split(" && ")]
    # A secret has no value on the command line: Pulumi asks for it.
    changes: dict[str, Any] = {
        words[-1]: {"secure": "…"} if "--secret" in words else None
        for words in commands
        if words[0] == "rm" or "--secret" in words
    }
    changes |= {words[1]: words[2] for words in commands if words[0] == "set" and "--secret" not in words}
    # The shell fills in the name of the operator's vault.
    values = {key: CERTIFICATE if "$(" in str(value) else value for key, value in changes.items()}
    return {key.removeprefix("eventfeed:"): value for key, value in values.items()}


def test_mistakes_are_different() -> None:
    """There are as many as the design asks for, and none occurs twice."""
    different = {(stack_file, repr(settings)) for stack_file, settings, _ in MISTAKES}

    assert MISTAKES_MIN <= len(MISTAKES) == len(different)


@pytest.mark.parametrize(("stack_file", "settings", "name"), MISTAKES)
def test_mistake_is_refused_with_the_command_that_mends_it(
    stack_file: str, settings: Mapping[str, Any], name: str
) -> None:
    """One line names the fault. Nothing is registered before, and its command makes the configuration valid."""
    run = run_refused(stack_file, settings)
    changes = changes_of(run.message)
    mended_settings = {**settings, **changes}

    assert (1, []) == (run.message.count("\n- "), list(run.resources))
    assert name in changes
    assert mended_settings.get(name) != settings.get(name, "not set")
    read_configuration(stack_file, mended_settings)


@pytest.mark.parametrize("key", ["azure-native:location", "secondLocation"])
def test_region_that_is_not_listed_is_offered_only_by_a_valid_name(key: str) -> None:
    """The display name of a region is no name that could be set."""
    by_name, by_display_name = (run_refused("prod", {key: value}).message for value in ("ukwest", "UK West"))

    assert by_name.endswith("pulumi config set eventfeed:otherRegion ukwest")
    assert "otherRegion" not in by_display_name


def test_resource_before_a_refusal_is_detected(tmp_path: Path) -> None:
    """The mutant registers a component before it reads the configuration."""
    early = 'import pulumi\npulumi.ComponentResource("eventfeed:infra:Early", "early")\nstack = read_stack()\n'
    project = create_mutant_project(tmp_path, Mutation("infra/__main__.py", "stack = read_stack()\n", early))

    assert ["early"] == [each.name for each in run_refused("dev", {"budget": "0"}, project=project).resources]
