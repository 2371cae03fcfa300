"""Identity on the wire: the exchange, the platform's discovery and keys, the development issuer (contract section 6)."""

from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec
from litestar import MediaType, Response, get, post
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.errors import Fault, InvalidRequest
from eventfeed.http.addresses import AnyRequest, local
from eventfeed.http.callers import bearer
from eventfeed.http.wire import JSON
from eventfeed.identity.development import DevelopmentIssuer
from eventfeed.identity.exchange import Exchange

_OPENID = "/authentication/api/v1/openid"
# A development token request holds a number and some scopes.
FIELDS_MAX = 10
