"""Questions and answers in the JSON profile of XACML 3.0 (v1.1), many decisions in one call.

Requests follow the Multiple Decision profile: one subject, one action, a resource for each question, and a reference
to each combination. Answers may come in any order, so each is recognised by the attributes of its resource, which we
ask to be included.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from eventfeed.domain.errors import Unavailable
from eventfeed.domain.event import app_of
from eventfeed.domain.feed import Question, Verdicts
from eventfeed.domain.principal import Method, Principal

ACTION = "urn:oasis:names:tc:xacml:1.0:action:action-id"
USER = "urn:altinn:userid"
ORGANISATION = "urn:altinn:organization:identifier-no"
ORG = "urn:altinn:org"
APP = "urn:altinn:app"
APP_RESOURCE = "urn:altinn:appresource"
RESOURCE = "urn:altinn:resource"
PARTY = "urn:altinn:partyid"
LEVEL = "urn:altinn:minimum-authenticationlevel"
LEVEL_OF_ORGANISATIONS = "urn:altinn:minimum-authenticationlevel-org"

# Attributes with a meaning of their own: a resource that calls itself by one of them is none of these.
_TAKEN = frozenset({USER, ORGANISATION, ORG, APP, APP_RESOURCE, PARTY})
_STRENGTH = (False, None, True)

Json = Mapping[str, object]
# A resource as its attributes say: their ids and values.
Attributes = frozenset[tuple[str, str]]


class _Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class _Assignment(_Wire, frozen=True, kw_only=True):
    category: str | None = None
    value: str | int | None = None


class _Obligation(_Wire, frozen=True, kw_only=True):
    attribute_assignment: Sequence[_Assignment] | None = None


class _Attribute(_Wire, frozen=True, kw_only=True):
    attribute_id: str
    value: str | int | float | bool | None = None


class _Category(_Wire, frozen=True, kw_only=True):
    attribute: Sequence[_Attribute] | None = None


class _Result(_Wire, frozen=True, kw_only=True):
    decision: str
    obligations: Sequence[_Obligation] | None = None
    category: Sequence[_Category] | None = None


class _Response(_Wire, frozen=True, kw_only=True):
    response: Sequence[_Result]


def request_of(principal: Principal, questions: Sequence[Question]) -> Json:
    """One request for all questions: may this caller read?"""
    resources = [
        {"Id": f"r{number}", "Attribute": _attributes(question)} for number, question in enumerate(questions, 1)
    ]
    references = [{"ReferenceId": ["s1", "a1", resource["Id"]]} for resource in resources]
    return {
        "Request": {
            "ReturnPolicyIdList": False,
            "AccessSubject": [{"Id": "s1", "Attribute": _subject(principal)}],
            "Action": [{"Id": "a1", "Attribute": [_attribute(ACTION, "read")]}],
            "Resource": resources,
            "MultiRequests": {"RequestReference": references},
        }
    }


def verdicts_of(body: bytes, questions: Collection[Question], *, principal: Principal) -> Verdicts:
    """Whether each question is permitted, obligations included. Raises `Unavailable` when nothing can be read.

    A no may come without the resource it is about. As many of them as there are questions left are the answers to
    these; nothing else is taken without its resource, but that a single question was not decided.
    """
    try:
        response = msgspec.convert(_uncapitalised(msgspec.json.decode(body)), _Response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unavailable("The decision point's answer cannot be read.") from None
    verdicts, bare = dict[Attributes, bool | None](), list[bool | None]()
    for result in response.response:
        about, permitted = _about(result), _permitted(result, principal)
        if not about:
            bare.append(permitted)
            continue
        # Two answers to one question: a no beats no decision, and both beat a yes.
        verdicts[about] = min(permitted, verdicts.get(about, True), key=_STRENGTH.index)
    found = {question: verdicts[_known(question)] for question in questions if _known(question) in verdicts}
    left = [question for question in questions if question not in found]
    if bare == [False] * len(left) or (bare == [None] and len(questions) == 1):
        found |= dict.fromkeys(left, bare[0] if bare else None)
    return found


def _permitted(result: _Result, principal: Principal) -> bool | None:
    """Whether a result lets this caller read; None when it decides nothing."""
    match result.decision:
        case "Permit":
            return _discharged(result.obligations or (), principal)
        case "Deny" | "NotApplicable":
            return False
    return None


def _discharged(obligations: Sequence[_Obligation], principal: Principal) -> bool | None:
    """Whether the caller meets every obligation; one that we do not know cannot be met (XACML 3.0 §7.18).

    None when it cannot be read what is asked for.
    """
    levels: dict[str, int] = {}
    for obligation in obligations:
        if not obligation.attribute_assignment:
            return False
        for assignment in obligation.attribute_assignment:
            if assignment.category not in (LEVEL, LEVEL_OF_ORGANISATIONS):
                return False
            try:
                level = int(assignment.value if assignment.value is not None else "")
            except ValueError:
                return None
            levels[assignment.category] = max(level, levels.get(assignment.category, 0))
    needed = levels.get(LEVEL, 0)
    if principal.method is Method.MASKINPORTEN:
        needed = levels.get(LEVEL_OF_ORGANISATIONS, needed)
    return principal.level >= needed


def _subject(principal: Principal) -> Sequence[Json]:
    if principal.user is not None:
        return [_attribute(USER, principal.user)]
    known = [(ORGANISATION, principal.organisation), (ORG, principal.org)]
    return [_attribute(name, value) for name, value in known if value is not None]


def _attributes(question: Question) -> Sequence[Json]:
    """A question's resource. What tells it from the others comes back with the answer."""
    named = [_attribute(name, value, told=True) for name, value in sorted(_known(question))]
    return [*named, _attribute(APP_RESOURCE, "events")] if app_of("", question.resource) else named


def _known(question: Question) -> Attributes:
    app = app_of("", question.resource)
    if app is not None:
        named = {(ORG, app.org), (APP, app.name)}
    else:
        kind, _, value = question.resource.rpartition(":")
        named = {(RESOURCE, question.resource)} if kind in _TAKEN else {(kind, value)}
    return frozenset(named | ({(PARTY, question.party)} if question.party is not None else set()))


def _about(result: _Result) -> Attributes:
    attributes = [each for category in result.category or () for each in category.attribute or ()]
    return frozenset((each.attribute_id, str(each.value)) for each in attributes)


def _attribute(name: str, value: str, *, told: bool = False) -> Json:
    return {
        "AttributeId": name,
        "Value": value,
        "DataType": "http://www.w3.org/2001/XMLSchema#string",
        "IncludeInResult": told,
    }


def _uncapitalised(value: object) -> object:
    """Members by names that begin with a small letter: answers are seen with either."""
    match value:
        case dict():
            return {name[:1].lower() + name[1:]: _uncapitalised(inner) for name, inner in value.items()}
        case list():
            return [_uncapitalised(inner) for inner in value]
    return value
