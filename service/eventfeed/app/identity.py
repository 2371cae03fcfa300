"""Identity of a process: the issuers of tokens, their keys, and the HTTP client for other services."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from litestar.handlers import HTTPRouteHandler

from eventfeed.app.access import Access, open_access
from eventfeed.bounded_fetch import EnvironmentTransport
from eventfeed.domain.ports import Clock, Register
from eventfeed.http.identity_routes import development_routes, identity_routes
from eventfeed.identity.app_keys import KeyAddress, KeyDirectory, KeyFiles
from eventfeed.identity.app_tokens import AppTokens
from eventfeed.identity.development import PROVIDERS, DevelopmentIssuer
from eventfeed.identity.exchange import ID_PORTEN, MASKINPORTEN, Exchange
from eventfeed.identity.keys import ProviderKeys, SigningKeys
from eventfeed.identity.tokens import PlatformIssuer, Provider
from eventfeed.identity.trusted_issuer import TrustedIssuer
from eventfeed.network import is_loopback
from eventfeed.settings import Settings, SettingsError
from eventfeed.telemetry.telemetry import Telemetry


class Identity:
    """The signing keys of the platform, and the HTTP client for other services. Raises `SettingsError`."""

    def __init__(self, settings: Settings, telemetry: Telemetry, *, clock: Clock) -> None:
        require_private_development(settings)
        self._settings, self._telemetry, self._clock = settings, telemetry, clock
        self.keys = SigningKeys.load(settings.keys_path / "platform")
        self.client = http_client(settings)
        url = f"{settings.public_url.rstrip('/') or settings.own_url}/authentication/api/v1/openid/"
        self.issuer = PlatformIssuer(url, self.keys, clock)

    def access(self) -> Access:
        """Return register and decision point: the platform's, or local files. Raises `SettingsError`."""
        return open_access(self._settings, self._telemetry, issuer=self.issuer, client=self.client)

    def app_tokens(self) -> AppTokens | None:
        """Return the verification of app tokens, None without a source of keys. Raises `SettingsError`."""
        settings = self._settings
        if not settings.app_token_keys:
            return None
        return AppTokens(app_key_files(settings, self.client, telemetry=self._telemetry), clock=self._clock)

    def routes(self, register: Register) -> Sequence[HTTPRouteHandler]:
        """Return the routes of the exchange, and in development those of the issuers."""
        settings = self._settings
        issuers = [self._development_issuer(provider) for provider in PROVIDERS] if settings.development else []
        exchange = Exchange(self._providers(), register=register, issuer=self.issuer, telemetry=self._telemetry)
        return [*identity_routes(exchange), *(route for issuer in issuers for route in development_routes(issuer))]

    def trusted_issuer(self, register: Register) -> TrustedIssuer | None:
        """Return the platform's own issuer, None if its tokens are not accepted."""
        url = self._settings.platform_issuer
        keys = ProviderKeys(url, self.client, telemetry=self._telemetry)
        return TrustedIssuer(Provider(url, keys, audiences=None), register, self._clock) if url else None

    def _providers(self) -> Mapping[str, Provider]:
        """Return the providers of external tokens: real ones, or in development our own, found the same way."""
        settings = self._settings
        issuers = {
            MASKINPORTEN: (settings.maskinporten_issuer, settings.maskinporten_audiences.split()),
            ID_PORTEN: (settings.idporten_issuer, settings.idporten_audiences.split()),
        }
        if settings.development:
            issuers = {provider: (_development_url(settings, provider), [settings.own_url]) for provider in PROVIDERS}
        return {
            name: Provider(
                issuer=issuer,
                keys=ProviderKeys(issuer, self.client, telemetry=self._telemetry),
                audiences=frozenset(audiences),
            )
            for name, (issuer, audiences) in issuers.items()
            if issuer
        }

    def _development_issuer(self, provider: str) -> DevelopmentIssuer:
        settings = self._settings
        keys = SigningKeys.load(settings.keys_path / provider)
        return DevelopmentIssuer(provider, _development_url(settings, provider), settings.own_url, keys, self._clock)


def app_key_files(settings: Settings, client: httpx.AsyncClient, *, telemetry: Telemetry) -> KeyFiles:
    """Return the files with the keys of app tokens. Raises `SettingsError` if they have no directory."""
    if settings.app_token_keys_url:
        return KeyAddress(settings.app_token_keys_url, client, telemetry=telemetry)
    directory = Path(settings.app_token_keys)
    if not directory.is_dir():
        raise SettingsError(
            f"EVENTFEED_APP_TOKEN_KEYS={settings.app_token_keys}: is no directory. Make it, or name the directory or "
            "https address that holds the public keys of app tokens."
        )
    return KeyDirectory(directory)


def _development_url(settings: Settings, provider: str) -> str:
    return f"{settings.own_url}/development/{provider}"


def http_client(settings: Settings) -> httpx.AsyncClient:
    """Return the HTTP client for other services. Raises `EnvironmentVariableError`."""
    urls = (
        settings.maskinporten_issuer,
        settings.idporten_issuer,
        settings.platform_url,
        settings.platform_orgs_url,
        settings.app_token_keys_url,
        settings.platform_issuer,
    )
    # In development all of them are on this machine: proxies are for others.
    transport = None if settings.development and not any(urls) else EnvironmentTransport(filter(None, urls))
    return httpx.AsyncClient(transport=transport, trust_env=False)


def require_private_development(settings: Settings) -> None:
    """Refuse development identities behind a public URL: whoever reaches it could become anybody."""
    if settings.development and not is_loopback(urlsplit(settings.public_url or settings.own_url).hostname or ""):
        raise SettingsError(
            f"EVENTFEED_PUBLIC_URL={settings.public_url!r}: others reach this address, and without "
            "EVENTFEED_MASKINPORTEN_ISSUER the service gives everybody the tokens of anybody. "
            "Set EVENTFEED_MASKINPORTEN_ISSUER, or remove EVENTFEED_PUBLIC_URL."
        )
