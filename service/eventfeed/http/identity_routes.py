"""Identity on the wire: the exchange, the platform's discovery and keys, the development issuers."""

from urllib.parse import parse_qsl

import msgspec
from litestar import MediaType, Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.http.authentication import bearer
from eventfeed.http.body import BODY_BYTES_MAX, body_of
from eventfeed.http.publishing.cloudevents import JSON
from eventfeed.http.request import AnyRequest, local
from eventfeed.http.routing import get, post
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange

_OPENID = "/authentication/api/v1/openid"
_NO_STORE = {"Cache-Control": "no-store"}
# A request for a development token holds a number, a level and some scopes.
FORM_FIELDS_MAX = 10


def identity_routes(exchange: Exchange) -> list[HTTPRouteHandler]:
    """The routes that turn external tokens into platform tokens, and let anyone verify those."""

    @get("/authentication/api/v1/exchange/{provider:str}")
    async def exchange_token(request: AnyRequest) -> Response[str]:
        token = await exchange.exchange(request.path_params["provider"], bearer(request))
        return Response(token, media_type=MediaType.TEXT, headers=_NO_STORE)

    @get(f"{_OPENID}/.well-known/openid-configuration")
    async def discovery(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001  # handlers are called with it
        return Response(msgspec.json.encode(exchange.discovery()), media_type=JSON)

    @get([f"{_OPENID}/.well-known/openid-configuration/jwks", f"{_OPENID}/jwks"])
    async def keys(request: AnyRequest) -> Response[bytes]:  # noqa: ARG001  # handlers are called with it
        return Response(exchange.jwks(), media_type=JSON)

    return [exchange_token, discovery, keys]


def development_routes(issuer: DevelopmentIssuer) -> list[HTTPRouteHandler]:
    """A development issuer. It answers callers on this machine alone, whatever name they reached it by."""
    place = f"/development/{issuer.provider}"

    @get(f"{place}/.well-known/openid-configuration")
    async def discovery(request: AnyRequest) -> Response[bytes]:
        _require_local(request)
        return Response(msgspec.json.encode(issuer.discovery()), media_type=JSON)

    @get(f"{place}/jwks")
    async def keys(request: AnyRequest) -> Response[bytes]:
        _require_local(request)
        return Response(issuer.keys.jwks, media_type=JSON)

    @post(f"{place}/token")
    async def token(request: AnyRequest) -> Response[str]:
        _require_local(request)
        minted = issuer.token(_form(await body_of(request, bytes_max=BODY_BYTES_MAX)))
        return Response(minted, media_type=MediaType.TEXT, headers=_NO_STORE)

    return [discovery, keys, token]


def _require_local(request: AnyRequest) -> None:
    """A page of another site, led here by a name of its own, finds nothing."""
    if not local(request.headers.get("host", "")):
        raise NotFoundException


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX))
    except ValueError:
        detail = "must be form-encoded fields"
        raise InvalidRequest("The form cannot be read.", faults=[Fault(pointer="", detail=detail)]) from None
