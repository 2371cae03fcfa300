"""The configuration keys of a stack, with the pattern of their values, and the regions that are known here."""

from typing import NamedTuple

# The value of `image` before there is one: the stack then has a registry and no service.
NO_IMAGE = "none"

# The regions with availability zones and with every tier of both stacks:
# https://learn.microsoft.com/azure/reliability/regions-list
# https://learn.microsoft.com/azure/api-management/api-management-region-availability
REGIONS = (
    *("norwayeast", "swedencentral", "northeurope", "westeurope"),
    *("francecentral", "germanywestcentral", "italynorth", "switzerlandnorth"),
)
_URL = r"https://[^\s?#]+"
_NAME = r"[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?"
_NAMES = f"{_NAME}( {_NAME})*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# A name below a domain: the domain itself can have no CNAME record. Names below azure-api.net are Azure's own.
_HOST = rf"(?=.{{0,253}}\Z)(?!.*\.azure-api\.net\Z)(?:(?:{_LABEL}\.){{2,}}[a-z]{{2,63}})?"
_GROUP_ID = r"/subscriptions/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/resourceGroups/[\w.()-]{1,90}"
_SECRET_ID = (
    rf"(?:{_GROUP_ID}/providers/Microsoft\.KeyVault/vaults/[A-Za-z](?:-?[A-Za-z0-9]){{2,23}}"
    r"/secrets/[0-9A-Za-z-]{1,127})?"
)
# The name of a region that is not listed.
OTHER_REGION = r"[a-z0-9]{1,40}"


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
    Key("customDomain", "a host name for the gateway below a domain of yours", _HOST, "events.example.no", ""),
    Key(
        "domainCertificate",
        "the resource id of the domain's certificate in a vault, as a secret without a version",
        _SECRET_ID,
        '"$(az keyvault show --name VAULT --query id --output tsv)/secrets/NAME"',
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
    Key("otherRegion", "a region that is used although it is not listed here", f"({OTHER_REGION})?", '""', ""),
    # The names of regions are compared with the list above.
    Key("secondLocation", "a second region for production, which takes over from the first", ".*", '""', ""),
    Key("servingLocation", "the region whose app the gateway prefers; the first by default", ".*", '""', ""),
    Key("newestWeight", "the newest revision's share of the traffic (%)", r"[0-9]|[1-9][0-9]|100", "100", "100"),
)
EXAMPLES = {key.name: key.example for key in KEYS}
