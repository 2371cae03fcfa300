"""Identity over HTTP: the exchange, the platform's discovery document and keys, and the development issuers."""

from urllib.parse import parse_qsl

import msgspec
from litestar import MediaType, Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.http.authentication import bearer_token
from eventfeed.http.header_text import INVALID_ESCAPE
from eventfeed.http.public_url import is_local
from eventfeed.http.request import BODY_BYTES_MAX, HttpRequest, get, post
from eventfeed.http.response import JSON
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange

_OPENID = "/authentication/api/v1/openid"
_NO_STORE = {"Cache-Control": "no-store"}
_PROXY_HEADERS = frozenset({"forwarded", "via"})
# A request for a development token has a number, a level and some scopes.
FORM_FIELDS_MAX = 10


def identity_routes(exchange: Exchange) -> list[HTTPRouteHandler]:
    """Return the routes that exchange external tokens for platform tokens, and publish the keys to verify those."""

    @get("/authentication/api/v1/exchange/{provider:str}")
    async def exchange_token(request: HttpRequest) -> Response[str]:
        token = await exchange.exchange(request.path_params["provider"], bearer_token(request))
        return Response(token, media_type=MediaType.TEXT, headers=_NO_STORE)

    @get(f"{_OPENID}/.well-known/openid-configuration")
    async def discovery(_: HttpRequest) -> Response[bytes]:
        return Response(msgspec.json.encode(exchange.discovery()), media_type=JSON)

    @get([f"{_OPENID}/.well-known/openid-configuration/jwks", f"{_OPENID}/jwks"])
    async def keys(_: HttpRequest) -> Response[bytes]:
        return Response(exchange.jwks(), media_type=JSON)

    return [exchange_token, discovery, keys]


def development_routes(issuer: DevelopmentIssuer) -> list[HTTPRouteHandler]:
    """Return the routes of a development issuer. They respond only to programs on this machine."""
    base = f"/development/{issuer.provider}"

    @get(f"{base}/.well-known/openid-configuration")
    async def discovery(request: HttpRequest) -> Response[bytes]:
        _require_local(request)
        return Response(msgspec.json.encode(issuer.discovery()), media_type=JSON)

    @get(f"{base}/jwks")
    async def keys(request: HttpRequest) -> Response[bytes]:
        _require_local(request)
        return Response(issuer.keys.jwks, media_type=JSON)

    @post(f"{base}/token")
    async def token(request: HttpRequest) -> Response[str]:
        _require_local(request)
        access_token = issuer.token(_form(await request.read(bytes_max=BODY_BYTES_MAX)))
        return Response(access_token, media_type=MediaType.TEXT, headers=_NO_STORE)

    return [discovery, keys, token]


def _require_local(request: HttpRequest) -> None:
    """Refuse requests that are not of a program on this machine: these tokens are of anybody, for anybody.

    A proxy names itself in a header, and a page of another site names its origin or reaches this machine under
    another host name.
    """
    names = request.fields.keys()
    is_direct = not names & _PROXY_HEADERS and not any(name.startswith("x-forwarded-") for name in names)
    is_own_page = request.fields.get("origin", own := f"http://{request.host}").lower() == own.lower()
    if not (is_direct and is_own_page and is_local(request.host)):
        raise NotFoundException


def _form(body: bytes) -> dict[str, str]:
    """Return the fields of a form, none of them repeated (RFC 6749 §3.2)."""
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
        fields = dict(pairs)
        if not INVALID_ESCAPE.search(text) and len(fields) == len(pairs):
            return fields
    except ValueError:
        pass
    detail = f"must be at most {FORM_FIELDS_MAX} form-encoded fields, each once"
    raise InvalidRequest("The form is not valid.", faults=[Fault(pointer="", detail=detail)])
