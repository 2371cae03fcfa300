"""Reading: the app feed and the head of the log (contract section 5)."""

import hashlib

import msgspec
from litestar import Response, get
from litestar.exceptions import HTTPException, NotFoundException
from litestar.handlers import HTTPRouteHandler

from eventfeed.domain.cursor import Bare, Cursor
from eventfeed.domain.event import app_named, served
from eventfeed.domain.feed import NOBODY, AppFeed, Filter, Page, PageRequest, Query
from eventfeed.domain.moment import format_moment
from eventfeed.domain.ports import Register
from eventfeed.domain.principal import require_app
from eventfeed.http.addresses import Addresses, AnyRequest
from eventfeed.http.callers import Callers
from eventfeed.http.parameters import Parameters, parameters_of
from eventfeed.http.wire import BATCHED, JSON
from eventfeed.log.reader import Reader

# Whatever the answer depends on beside the URL.
_VARY = "Accept, Authorization, Person"


def feed_routes(
    reader: Reader, register: Register, *, callers: Callers, addresses: Addresses
) -> list[HTTPRouteHandler]:
    """The routes that read."""

    @get("/events/api/v1/app/{org:str}/{app:str}")
    async def app_feed(request: AnyRequest) -> Response[bytes]:
        principal = callers.principal(request)
        app = app_named(request.path_params["org"], request.path_params["app"])
        if app is None:
            raise NotFoundException
        require_app(principal, app)
        media_type = _accepted(request)
        parameters = parameters_of(request.scope["query_string"], person=request.headers.get("person"))
        wanted = Filter(types=parameters.types, source=parameters.source, subject=await _subject(parameters, register))
        page = await reader.read(_asked(Query(feed=AppFeed(app=app), filter=wanted), parameters))
        path = f"/events/api/v1/app/{app.org}/{app.name}"
        link = f"{addresses.base(request)}{path}?{parameters.query_after(page.cursor)}"
        rights = f"{principal.organisation} {' '.join(sorted(principal.scopes))} {wanted.subject}"
        return _answer(request, page, link=link, form=(media_type, rights))

    @get("/events/api/v1/head")
    async def head(request: AnyRequest) -> Response[bytes]:
        callers.principal(request)
        ends = await reader.head()
        newest = Newest(
            cursor=str(Cursor(log=ends.log, position=ends.position)),
            time=format_moment(ends.time) if ends.position else None,
        )
        return Response(msgspec.json.encode(newest), media_type=JSON, headers={"Cache-Control": "private, no-cache"})

    return [app_feed, head]


class Newest(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the log: its cursor, and when its last entry was registered (null when it has none)."""

    cursor: str
    time: str | None


def _asked(query: Query, parameters: Parameters) -> PageRequest:
    return PageRequest(
        query=query,
        size=parameters.size,
        after=Bare(position=0) if parameters.after is None else parameters.after,
        since=parameters.since,
        until=parameters.until,
    )


async def _subject(parameters: Parameters, register: Register) -> str | None:
    """The one subject asked for; `NOBODY` when the register knows none, or two are asked for at once."""
    parties = list[str | None]()
    if parameters.party is not None:
        parties.append(parameters.party)
    if parameters.unit is not None:
        organisation = await register.organisation(parameters.unit)
        parties.append(organisation.party if organisation else None)
    if parameters.person is not None:
        parties.append(await register.party_of_person(parameters.person))
    if not parties:
        return None
    return f"/party/{parties[0]}" if None not in parties and len(set(parties)) == 1 else NOBODY


def _accepted(request: AnyRequest) -> str:
    """The media type to answer with."""
    accepted = request.accept.best_match([BATCHED, JSON], default=None) if "accept" in request.headers else BATCHED
    if accepted is None:
        raise HTTPException(status_code=406)
    return accepted


def _answer(request: AnyRequest, page: Page, *, link: str, form: tuple[str, str]) -> Response[bytes]:
    """A page, or 304 when the caller has this very page. `form` is its media type, and what the caller may see."""
    media_type, rights = form
    tag = _tag(page, link, form=f"{media_type} {rights}")
    headers = {
        "Link": f'<{link}>; rel="next"',
        "next": link,
        "Feed-Cursor": str(page.cursor),
        "Feed-More": "true" if page.more else "false",
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Vary": _VARY,
    }
    if _matches(request.headers.get("if-none-match", ""), tag):
        return Response(b"", status_code=304, headers=headers, media_type=media_type)
    return Response(_body(page), media_type=media_type, headers=headers)


def _body(page: Page) -> bytes:
    """The stored events, joined: never parsed and printed again."""
    return b"[" + b",".join(map(served, page.entries)) + b"]"


def _tag(page: Page, link: str, *, form: str) -> str:
    """A strong entity tag. The link holds log, query and last position examined; entries never change.

    With those, the form of the answer and the caller's rights, which entries were found is all that is left to tell.
    """
    seen = hashlib.blake2b(f"{form} {page.more} {link}".encode(), digest_size=16)
    for entry in page.entries:
        seen.update(entry.sequence.to_bytes(8))
    return f'"{seen.hexdigest()}"'


def _matches(condition: str, tag: str) -> bool:
    """RFC 9110 §13.1.2: weak comparison against each tag of the list, or `*`."""
    tags = [part.strip().removeprefix("W/") for part in condition.split(",")]
    return tag in tags or tags == ["*"]
