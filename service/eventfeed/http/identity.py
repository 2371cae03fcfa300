"""Identity on the wire: the exchange, the platform's discovery and keys, and the development issuer (contract §6)."""

import msgspec
from litestar import MediaType, Response, get, post
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.http.addresses import AnyRequest, local
from eventfeed.http.callers import bearer
from eventfeed.http.wire import JSON
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange

_NO_STORE = {"Cache-Control": "no-store"}
