"""Requests and responses in the JSON profile of XACML 3.0 (v1.1), many decisions in one call.

Requests follow the Multiple Decision profile: one subject, one action, a resource for each question, and a reference
to each combination. Results may be in any order. Each is matched by the attributes of its resource, which the request
marks to be included.
"""

import enum
from collections.abc import Collection, Mapping, Sequence

import msgspec

from eventfeed.domain.app_source import app_of
from eventfeed.domain.decision import Question, Verdicts
from eventfeed.domain.errors import Unavailable
from eventfeed.domain.principal import Method, Principal


class AttributeId(enum.StrEnum):
    """Ids of attributes: of XACML, and of the platform."""

    ACTION = "urn:oasis:names:tc:xacml:1.0:action:action-id"
    USER = "urn:altinn:userid"
    SYSTEM_USER = "urn:altinn:systemuser:uuid"
    ORGANISATION = "urn:altinn:organization:identifier-no"
    ORG = "urn:altinn:org"
    APP = "urn:altinn:app"
    APP_RESOURCE = "urn:altinn:appresource"
    RESOURCE = "urn:altinn:resource"
    PARTY = "urn:altinn:partyid"
    LEVEL = "urn:altinn:minimum-authenticationlevel"
    LEVEL_OF_ORGANISATIONS = "urn:altinn:minimum-authenticationlevel-org"


# Attributes with a meaning of their own. A resource id that begins with one of them is sent as a plain resource.
_ATTRIBUTE_IDS = frozenset(
    {
        AttributeId.USER,
        AttributeId.ORGANISATION,
        AttributeId.ORG,
        AttributeId.APP,
        AttributeId.APP_RESOURCE,
        AttributeId.PARTY,
    }
)
_STRENGTH = (False, None, True)

Json = Mapping[str, object]
# The ids and values of the attributes that identify a resource.
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
    """Return one request for the decisions on all questions, which have one action."""
    resources = [
        {"Id": f"r{number}", "Attribute": _attributes(question)} for number, question in enumerate(questions, 1)
    ]
    references = [{"ReferenceId": ["s1", "a1", resource["Id"]]} for resource in resources]
    return {
        "Request": {
            "ReturnPolicyIdList": False,
            "AccessSubject": [{"Id": "s1", "Attribute": _subject(principal)}],
            "Action": [{"Id": "a1", "Attribute": [_attribute(AttributeId.ACTION, questions[0].action)]}],
            "Resource": resources,
            "MultiRequests": {"RequestReference": references},
        }
    }


def verdicts_of(body: bytes, questions: Collection[Question], *, principal: Principal) -> Verdicts:
    """Return the decisions, with obligations applied. Raises `Unavailable` if the response cannot be read.

    A denial may come without its resource. If there are as many of those as questions left, they are the decisions on
    these. No other result counts without its resource, except that a single question has no decision.
    """
    try:
        response = msgspec.convert(_with_lower_initials(msgspec.json.decode(body)), _Response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Unavailable("The decision point's response cannot be read.") from None
    by_attributes, bare = _verdicts(response.response, principal)
    keys = {question: _identifying(question) for question in questions}
    verdicts = {question: by_attributes[key] for question, key in keys.items() if key in by_attributes}
    rest = [question for question in questions if question not in verdicts]
    if bare == [False] * len(rest) or (bare == [None] and len(questions) == 1):
        verdicts |= dict.fromkeys(rest, bare[0] if bare else None)
    return verdicts


def _verdicts(
    results: Sequence[_Result], principal: Principal
) -> tuple[Mapping[Attributes, bool | None], Sequence[bool | None]]:
    """Return the verdicts by the attributes of their resource, and those without a resource."""
    verdicts, bare = dict[Attributes, bool | None](), list[bool | None]()
    for result in results:
        attributes, verdict = _result_attributes(result), _verdict(result, principal)
        if attributes:
            # Of two results for one resource, a denial beats no decision, and both beat a permit.
            verdicts[attributes] = min(verdict, verdicts.get(attributes, True), key=_STRENGTH.index)
        else:
            bare.append(verdict)
    return verdicts, bare


def _verdict(result: _Result, principal: Principal) -> bool | None:
    """True if a result permits the action to this caller; None if it is no decision."""
    match result.decision:
        case "Permit":
            return _meets_obligations(result.obligations or (), principal)
        case "Deny" | "NotApplicable":
            return False
    return None


def _meets_obligations(obligations: Sequence[_Obligation], principal: Principal) -> bool | None:
    """True if the caller meets every obligation. An obligation of an unknown kind cannot be met (XACML 3.0 §7.18).

    None if a level cannot be read.
    """
    levels: dict[str, int] = {}
    for obligation in obligations:
        if not obligation.attribute_assignment:
            return False
        for assignment in obligation.attribute_assignment:
            if assignment.category not in (AttributeId.LEVEL, AttributeId.LEVEL_OF_ORGANISATIONS):
                return False
            try:
                level = int(assignment.value if assignment.value is not None else "")
            except ValueError:
                return None
            levels[assignment.category] = max(level, levels.get(assignment.category, 0))
    level_min = levels.get(AttributeId.LEVEL, 0)
    if principal.method is Method.MASKINPORTEN:
        level_min = levels.get(AttributeId.LEVEL_OF_ORGANISATIONS, level_min)
    return principal.level >= level_min


def _subject(principal: Principal) -> Sequence[Json]:
    """Return the attributes of the caller. The platform takes a system user without any others."""
    if principal.user is not None:
        return [_attribute(AttributeId.USER, principal.user)]
    if principal.system_user is not None:
        return [_attribute(AttributeId.SYSTEM_USER, principal.system_user)]
    numbers = [(AttributeId.ORGANISATION, principal.organisation), (AttributeId.ORG, principal.org)]
    return [_attribute(name, value) for name, value in numbers if value is not None]


def _attributes(question: Question) -> Sequence[Json]:
    """Return the attributes of a question's resource. The result repeats those that identify it."""
    attributes = [_attribute(name, value, in_result=True) for name, value in sorted(_identifying(question))]
    return [*attributes, _attribute(AttributeId.APP_RESOURCE, "events")] if app_of(question.resource) else attributes


def _identifying(question: Question) -> Attributes:
    attributes = set[tuple[str, str]]()
    if app := app_of(question.resource):
        attributes = {(AttributeId.ORG, app.org), (AttributeId.APP, app.name)}
    else:
        kind, _, value = question.resource.rpartition(":")
        attributes.add((AttributeId.RESOURCE, question.resource) if kind in _ATTRIBUTE_IDS else (kind, value))
    if question.party is not None:
        attributes.add((AttributeId.PARTY, question.party))
    return frozenset(attributes)


def _result_attributes(result: _Result) -> Attributes:
    attributes = [each for category in result.category or () for each in category.attribute or ()]
    return frozenset((each.attribute_id, str(each.value)) for each in attributes)


def _attribute(name: str, value: str, *, in_result: bool = False) -> Json:
    return {
        "AttributeId": name,
        "Value": value,
        "DataType": "http://www.w3.org/2001/XMLSchema#string",
        "IncludeInResult": in_result,
    }


def _with_lower_initials(value: object) -> object:
    """Return the value with member names that begin with a small letter: responses use both spellings."""
    match value:
        case dict():
            return {name[:1].lower() + name[1:]: _with_lower_initials(inner) for name, inner in value.items()}
        case list():
            return [_with_lower_initials(inner) for inner in value]
    return value
