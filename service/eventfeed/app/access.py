"""Access of a process: its register and its decision point, of the platform or of local files."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

from eventfeed.access.cedar import CedarDecisionPoint
from eventfeed.access.decisions import Decisions
from eventfeed.access.local import LocalRegister, population_file
from eventfeed.access.parties import Parties
from eventfeed.access.platform import Platform, PlatformDecisionPoint, PlatformRegister
from eventfeed.access.policies import policies_file
from eventfeed.access.publishers import Publishers
from eventfeed.access.rate_limit import RateLimit
from eventfeed.domain.approval import Approval
from eventfeed.domain.ports import DecisionPoint, Register, Relations
from eventfeed.identity.exchange import service_token
from eventfeed.identity.tokens import PlatformIssuer
from eventfeed.settings import Settings
from eventfeed.telemetry.telemetry import Telemetry


class Access(NamedTuple):
    """The register, the parties of events, decisions about who may do what, and relations to parties and resources."""

    register: Register
    parties: Parties
    decisions: DecisionPoint
    relations: Relations

    def publishers(self, *, rate: int) -> Publishers:
        """Return the rights of publishers. `rate` is the number of events of an organisation a second, 0 for any."""
        return Publishers(self.relations, self.decisions, RateLimit(rate, seconds=1) if rate else None)


def open_access(
    settings: Settings, telemetry: Telemetry, *, issuer: PlatformIssuer, client: httpx.AsyncClient
) -> Access:
    """Return register and decision point: the platform's, or local files. Raises `SettingsError`."""
    if settings.platform_url:
        token = functools.partial(service_token, issuer)
        url = settings.platform_url.rstrip("/")
        platform = Platform(url, client, settings.platform_subscription_key, token)
        register = PlatformRegister(platform, names_url=settings.platform_orgs_url)
        remote = PlatformDecisionPoint(platform)
        return Access(register, Parties(register), Decisions(remote, telemetry=telemetry), remote)
    population = population_file(_path(settings.register))
    policies = policies_file(_path(settings.policies))
    point = CedarDecisionPoint(population, policies, development=settings.development)
    local = LocalRegister(population)
    return Access(local, Parties(local), Decisions(point, telemetry=telemetry), point)


def first_approvals(settings: Settings) -> Sequence[Approval]:
    """Return the approvals in the register's file: the first ones of their organisations. Raises `SettingsError`."""
    return list(population_file(_path(settings.register)).value.first_approvals())


def _path(setting: str) -> Path | None:
    return Path(setting) if setting else None
