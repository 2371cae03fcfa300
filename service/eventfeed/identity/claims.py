"""Claims of external tokens that identify the caller: an organisation or a system user.

The forms are Maskinporten's. Those of system users are also in Altinn's own tokens, see `SystemUserClaim` of
Altinn/altinn-authorization (src/Altinn.Common.PEP).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from eventfeed.domain.errors import Unauthenticated

DETAILS = "authorization_details"
# ISO 6523: scheme 0192 is the Norwegian register of organisations.
_SCHEME = "0192:"
_UUID_PATTERN = r"(?!0{8}(-0{4}){3}-0{12}\Z)[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_EMPTY = (b"null", b"[]")

Uuid = Annotated[str, Meta(pattern=rf"^{_UUID_PATTERN}\Z")]


class SystemUser(NamedTuple):
    """A system user: its uuid in lower case, and the number of the organisation that it belongs to."""

    uuid: str
    organisation: str


class _Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation, by its number in a register (ISO 6523)."""

    authority: Literal["iso6523-actorid-upis"]
    id: Annotated[str, Meta(pattern=rf"^{_SCHEME}[0-9]{{9}}\Z")] = msgspec.field(name="ID")

    @property
    def number(self) -> str:
        return self.id.removeprefix(_SCHEME)


class _Details(msgspec.Struct, frozen=True, kw_only=True):
    """The authorization details of a system user (RFC 9396 §2). The lists have one element each."""

    type: Literal["urn:altinn:systemuser"]
    systemuser_id: Annotated[Sequence[Uuid], Meta(min_length=1, max_length=1)]
    systemuser_org: _Organisation


_DetailsList = Annotated[Sequence[_Details], Meta(min_length=1, max_length=1)]


def text_claim(claims: Mapping[str, Raw], name: str) -> str:
    """Return a claim that is a string, "" for anything else."""
    try:
        return msgspec.json.decode(claims.get(name, b'""'), type=str)
    except msgspec.DecodeError:
        return ""


def consumer_number(claims: Mapping[str, Raw]) -> str:
    """Return the number of the organisation that is the consumer. Raises `Unauthenticated` if none is."""
    try:
        return msgspec.json.decode(claims.get("consumer", b""), type=_Organisation).number
    except msgspec.DecodeError:
        raise Unauthenticated("The token's consumer is not an organisation.") from None


def has_details(claims: Mapping[str, Raw]) -> bool:
    """True if a token has `authorization_details`: it gives less than all rights of its subject."""
    return bytes(claims.get(DETAILS, b"null")).translate(None, b" \t\r\n") not in _EMPTY


def system_user_of(claims: Mapping[str, Raw], *, or_object: bool = False) -> SystemUser | None:
    """Return the system user that a token was issued to, None for a token without `authorization_details`.

    The details are a list, with `or_object` perhaps its only element. Raises `Unauthenticated` for any other details:
    the token's consumer is only the vendor of a system, or gave the token for something else.
    """
    if not has_details(claims):
        return None
    kind = _DetailsList | _Details if or_object else _DetailsList
    try:
        details = msgspec.json.decode(claims[DETAILS], type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise Unauthenticated(
            f"The token's {DETAILS} must be one system user (type urn:altinn:systemuser, systemuser_id with one uuid, "
            "systemuser_org). Request a token of a system user, or one of the organisation without them."
        ) from None
    system_user = details if isinstance(details, _Details) else details[0]
    return SystemUser(system_user.systemuser_id[0].lower(), system_user.systemuser_org.number)
