"""A replay of requests against the gateway's policies: what the service receives, or what the gateway responds.

It runs the statements of an operation in order, with real signatures. An expression is known by its exact text: a
policy with another one cannot be replayed until the expression is added here.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree as ET

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

_TOKEN = '((Jwt)context.Variables["token"])'
_IP = "context.Request.IpAddress"
_RETRY = 'context.Response.Headers.GetValueOrDefault("Retry-After", "5")'


class UnauthorizedError(Exception):
    """The token is not valid."""


class Issuer:
    """A token issuer with one key, and the address of its discovery document."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.document = f"{url}.well-known/openid-configuration"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, claims: Mapping[str, str] | None = None, *, seconds: int = 600) -> str:
        """Return a signed token with these claims, which expires after some seconds."""
        times = {"iss": self.url, "exp": time.time() + seconds}
        return jwt.encode({**times, **(claims or {})}, self.key, algorithm="RS256")


@dataclass
class Exchange:
    """A request on its way through the policies: its headers in lower case, the variables, and the response."""

    headers: dict[str, str]
    address: str = "192.0.2.7"
    query: Mapping[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    error_source: str = ""
    response_headers: dict[str, str] = field(default_factory=dict)
    backend: str = ""
    counter_key: str = ""


_EXPRESSIONS: Mapping[str, Callable[[Exchange], Any]] = {
    _IP: lambda exchange: exchange.address,
    'long.Parse(context.Request.Headers.GetValueOrDefault("Content-Length", "0")) > 2097152': (
        lambda exchange: int(exchange.headers.get("content-length", "0")) > 2097152
    ),
    'context.Request.Url.Query.Keys.Any(name => name != "after" && name != "size")': (
        lambda exchange: bool(exchange.query.keys() - {"after", "size"})
    ),
    f'{_TOKEN}.Claims.GetValueOrDefault("urn:altinn:orgNumber", {_TOKEN}.Claims.GetValueOrDefault('
    f'"urn:altinn:systemuser:uuid", {_TOKEN}.Claims.GetValueOrDefault("urn:altinn:userid", {_IP})))': (
        lambda exchange: next(
            (
                exchange.variables["token"][f"urn:altinn:{claim}"]
                for claim in ("orgNumber", "systemuser:uuid", "userid")
                if f"urn:altinn:{claim}" in exchange.variables["token"]
            ),
            exchange.address,
        )
    ),
    'context.LastError.Source == "validate-content"': lambda exchange: exchange.error_source == "validate-content",
    "context.Response == null ? 503 : context.Response.StatusCode": lambda exchange: exchange.status or 503,
    f'context.Response == null ? "5" : {_RETRY}': lambda exchange: exchange.response_headers.get("retry-after", "5"),
    '(string)context.Variables["retry"]': lambda exchange: exchange.variables["retry"],
    **{str(status): lambda _, status=status: status for status in (401, 404, 413, 429, 503)},  # type: ignore[misc]
    **{
        f'(int)context.Variables["status"] == {status}': (
            lambda exchange, status=status: exchange.variables["status"] == status  # type: ignore[misc]
        )
        for status in (401, 404, 429)
    },
}


class Replay:
    """A gateway with the policy of one operation, and the issuers whose documents it can read."""

    def __init__(
        self, sections: Mapping[str, Iterable[ET.Element]], issuers: Iterable[Issuer], named_values: Mapping[str, str]
    ) -> None:
        self._sections = {name: list(each) for name, each in sections.items()}
        self._issuers = {each.document: each for each in issuers}
        self._named_values = named_values

    def send(self, headers: Mapping[str, str], **request: Any) -> Exchange:
        """Return the exchange after the inbound section, or after the handling of an error: then it has a status."""
        exchange = Exchange({name.lower(): value for name, value in headers.items()}, **request)
        try:
            self._run(self._sections["inbound"], exchange)
        except UnauthorizedError:
            exchange.status = 401
            self._run(self._sections["on-error"], exchange)
        return exchange

    def _run(self, statements: Iterable[ET.Element], exchange: Exchange) -> bool:
        """Run statements in order. Returns True if one of them has made the response."""
        return any(self._run_one(each, exchange) for each in statements)

    def _run_one(self, statement: ET.Element, exchange: Exchange) -> bool:
        match statement.tag:
            case "choose":
                branch = next((each for each in statement if self._is_chosen(each, exchange)), None)
                return branch is not None and self._run(branch, exchange)
            case "return-response":
                self._respond(statement, exchange)
                return True
            case "validate-jwt":
                exchange.variables["token"] = self._validate(statement, exchange)
            case "set-header":
                self._set_header(statement, exchange.headers, exchange)
            case "set-variable":
                exchange.variables[statement.attrib["name"]] = self._value(statement.attrib["value"], exchange)
            case "rate-limit-by-key":
                exchange.counter_key = str(self._value(statement.attrib["counter-key"], exchange))
            case "set-backend-service":
                exchange.backend = statement.attrib["backend-id"]
            case "base" | "cors" | "validate-content":
                pass
            case other:
                raise LookupError(f"<{other}> cannot be replayed")
        return False

    def _is_chosen(self, branch: ET.Element, exchange: Exchange) -> bool:
        return branch.tag == "otherwise" or bool(self._value(branch.attrib["condition"], exchange))

    def _respond(self, statement: ET.Element, exchange: Exchange) -> None:
        exchange.response_headers = {}
        for each in statement:
            if each.tag == "set-status":
                exchange.status = int(each.attrib["code"])
            elif each.tag == "set-header":
                self._set_header(each, exchange.response_headers, exchange)

    def _set_header(self, statement: ET.Element, headers: dict[str, str], exchange: Exchange) -> None:
        name = statement.attrib["name"].lower()
        if statement.attrib["exists-action"] == "delete":
            headers.pop(name, None)
        else:
            headers[name] = str(self._value(statement[0].text or "", exchange))

    def _value(self, text: str, exchange: Exchange) -> Any:
        """Return the value of an attribute or a text: an expression, a named value, or itself."""
        if text.startswith("@(") and text.endswith(")"):
            return _EXPRESSIONS[text[2:-1]](exchange)
        for name, value in self._named_values.items():
            text = text.replace(f"{{{{{name}}}}}", value)
        return text

    def _validate(self, statement: ET.Element, exchange: Exchange) -> Mapping[str, Any]:
        """Return the claims of the token. Raises `UnauthorizedError`."""
        scheme, _, token = exchange.headers.get(statement.attrib["header-name"].lower(), "").partition(" ")
        names = [each.text for each in statement.iter("issuer")]
        issuers = [self._issuers[each.attrib["url"]] for each in statement.iter("openid-config")]
        for issuer in issuers:
            try:
                claims = jwt.decode(
                    token,
                    issuer.key.public_key(),
                    algorithms=["RS256"],
                    options={"require": ["exp"], "verify_aud": False},
                )
            except jwt.InvalidTokenError:
                continue
            if scheme == statement.attrib["require-scheme"] and claims.get("iss") in names:
                return claims
        raise UnauthorizedError
