"""Parameters of feeds: their values, and all of their faults."""

import contextlib
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.conditions import AnyOf, Equal, Matches
from eventfeed.domain.cursor import BareSequence, Cursor, EventId
from eventfeed.domain.errors import InvalidRequest
from eventfeed.http.reading.parameters import (
    ANY_FEED,
    HTTP_FEED,
    INSTANCE_FEED,
    PARTY_FEED,
    REPORTEE_FEED,
    RESOURCE_FEED,
    Parameters,
    ParameterSet,
    parse_body,
    parse_query,
)


def query_parameters(query: str, person: str | None = None, last_id: str | None = None) -> Parameters:
    """The parameters of a GET."""
    headers = {"person": person, "last-event-id": last_id}
    return parse_query(query.encode(), headers={name: value for name, value in headers.items() if value is not None})


def fault_names(query: str, person: str | None = None) -> list[str | None]:
    """The parameters with a fault, in the order of their names."""
    with pytest.raises(InvalidRequest) as refusal:
        query_parameters(query, person)
    return sorted((fault.parameter for fault in refusal.value.faults), key=str)


def test_query_gives_the_value_of_every_parameter() -> None:
    """`type` is another name of `eventType`. Person numbers come in the header."""
    parameters = query_parameters(
        "after=5&from=1970-01-01T00:00:01Z&to=1970-01-01T00:00:02Z&eventType=a&type=b&eventType=a"
        "&source=https://x&party=5&unit=310000011&size=7",
        "01838012345",
    )

    assert (BareSequence(position=5), 1_000_000, 2_000_000) == (parameters.after, parameters.since, parameters.until)
    assert (frozenset("ab"), frozenset({"https://x"}), "5", "310000011") == (
        parameters.types,
        parameters.sources,
        parameters.party,
        parameters.unit,
    )
    assert ("01838012345", 7) == (parameters.person, parameters.size)


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("1000", 1000), ("1001", 1000), ("9" * 99, 1000)])
def test_size_over_the_limit_is_a_full_page(text: str, size: int) -> None:
    """A size is at least 1 and at most 1,000."""
    assert size == query_parameters(f"after=0&size={text}").size


def test_default_size_of_a_page_is_50() -> None:
    """A request without a size gets at most 50 events."""
    assert 50 == query_parameters("after=0").size


@pytest.mark.parametrize("offset", ["+01:00", " 01:00", "%2B01:00", "%2b01:00"])
def test_space_in_a_time_is_read_as_a_plus(offset: str) -> None:
    """A `+` without an escape arrives as a space. The next link has it escaped."""
    parameters = query_parameters(f"from=1970-01-01T01:00:00{offset}".replace(" ", "%20"))

    assert 0 == parameters.since
    assert "from=1970-01-01T01%3A00%3A00%2B01%3A00" in parameters.query_after(str(Cursor(log="a" * 12, position=1)))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["from"]),
        ("size=5", ["from"]),
        ("after=0&size=0", ["size"]),
        ("after=0&size=-1", ["size"]),
        ("after=0&size=five", ["size"]),
        ("after=0&size=", ["size"]),
        ("after=0&size=1&size=2", ["size"]),
        ("from=2026-01-31T12:00:00", ["from"]),
        ("from=2026-01-31", ["from"]),
        ("from=", ["from"]),
        ("from=2026-01-31T12:00:00Z&to=2026-01-30T12:00:00Z", ["to"]),
        ("after=0&to=tomorrow", ["to"]),
        ("after=0&party=x", ["party"]),
        ("after=0&unit=12345678", ["unit"]),
        ("after=0&eventType=", ["eventType"]),
        ("after=0&source=", ["source"]),
        ("after=0&evenType=a", ["evenType"]),
        ("after=0&person=01838012345", ["person"]),
        ("after=0&" + "&".join(f"type={number}" for number in range(51)), ["eventType"]),
        ("after=0&lastEventId=x", ["after", "lastEventId"]),
        ("lastEventId=x&lastEventId=y", ["lastEventId"]),
        ("after=0&timeout=-1", ["timeout"]),
        ("after=0&timeout=1.5", ["timeout"]),
        ("after=0&timeout=5s", ["timeout"]),
        ("after=0&timeout=", ["timeout"]),
        ("after=0&timeout=1&timeout=2", ["timeout"]),
        ("timeout=1", ["from"]),
        ("size=0&from=x&unit=1&to=y&a=b", ["a", "from", "size", "to", "unit"]),
    ],
)
def test_refusal_names_every_parameter_with_a_fault(query: str, names: list[str]) -> None:
    """A client can correct all faults together."""
    assert names == fault_names(query)


def test_person_number_without_11_digits_is_refused() -> None:
    """The fault names the parameter."""
    assert ["person"] == fault_names("after=0", "0183801234")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("after=%ff", ["after"]),
        ("after=0&type=%zz%ff", ["type"]),
        ("after=0&%zz=1&to=%c3&source=ø", [None, "to", "source"]),
        ("&".join(["a=b"] * 999), [None]),
    ],
)
def test_query_without_valid_encoding_or_bounds_is_refused(query: str, names: list[str | None]) -> None:
    """The query is not UTF-8, or has too many fields. Each field with a fault is named."""
    with pytest.raises(InvalidRequest) as refusal:
        query_parameters(query)

    assert names == [fault.parameter for fault in refusal.value.faults]


@pytest.mark.parametrize(
    ("header", "name"), [("person", "person"), ("altinn-alternativesubject", "alternativeSubject")]
)
@pytest.mark.parametrize("value", ["a%ZZ", "50%", "b\u00e6r", "b\u00c3\u00a6r", "%FF"])
def test_header_that_cannot_be_decoded_is_refused(header: str, name: str, value: str) -> None:
    """The fault names the parameter and the header. Other bytes would silently match nothing."""
    with pytest.raises(InvalidRequest) as refusal:
        parse_query(b"after=0", headers={header: value})
    (fault,) = refusal.value.faults

    assert (name, True) == (fault.parameter, header in fault.detail)


@given(
    types=st.lists(st.text(st.characters(categories=["L", "N", "P"], exclude_characters="*%"), min_size=1), max_size=5),
    name=st.from_regex(r"[A-Za-z0-9._~!$&'()+,;=:@/?-]*[*%]?", fullmatch=True),
)
def test_next_query_differs_only_in_its_cursor(types: list[str], name: str) -> None:
    """Every other parameter has the same value."""
    source = f"https://x/{name}"
    parameters = query_parameters(
        urlencode([("from", "2026-01-31T12:00:00+02:00"), ("source", source), *(("type", each) for each in types)])
    )
    following = query_parameters(parameters.query_after(str(Cursor(log="a" * 12, position=9))))

    assert Cursor(log="a" * 12, position=9) == following.after
    assert (parameters.since, parameters.types, parameters.sources) == (
        following.since,
        following.types,
        following.sources,
    )


@given(value=st.text(max_size=30))
def test_any_text_as_a_value_is_accepted_or_refused(value: str) -> None:
    """No value causes another exception."""
    for name in ("after", "from", "to", "size", "party", "unit", "eventType"):
        with contextlib.suppress(InvalidRequest):
            query_parameters(f"after=0&{name}={quote(value, errors='replace')}")


def body_parameters(body: str, query: str = "", parameter_set: ParameterSet = ANY_FEED) -> Parameters:
    """The parameters of a POST."""
    return parse_body(body.encode(), query.encode(), parameter_set=parameter_set)


def test_next_query_has_the_size_of_the_page() -> None:
    """The query does not repeat the text of the request, in which eleven digits may be a person number."""
    parameters = query_parameters("after=0&size=01838012345&eventType=a")

    assert "after=x.1&eventType=a&size=1000" == parameters.query_after(str(Cursor(log="x", position=1)))


def test_body_gives_the_value_of_every_parameter() -> None:
    """A value is text or a whole number, types may be a list, and null is an absent value."""
    parameters = body_parameters(
        '{"after": 5, "from": "1970-01-01T01:00:00+01:00", "eventType": ["a", "b"], "type": "c", "unit": "310000011",'
        ' "party": 7, "person": "01838012345", "size": "9", "source": null}'
    )

    assert (BareSequence(position=5), 0, frozenset("abc")) == (parameters.after, parameters.since, parameters.types)
    assert ("7", "310000011", "01838012345") == (parameters.party, parameters.unit, parameters.person)
    assert (9, frozenset()) == (parameters.size, parameters.sources)


def test_cursor_and_size_of_the_query_replace_those_of_the_body() -> None:
    """Each replaces its own member. The next link has both and nothing else."""
    parameters = body_parameters('{"after": "1", "size": 5, "type": "x"}', "after=2")
    other = body_parameters('{"after": "1", "size": 5}', "size=6")

    assert (BareSequence(position=2), 5, frozenset("x")) == (parameters.after, parameters.size, parameters.types)
    assert (BareSequence(position=1), 6) == (other.after, other.size)
    assert "after=aaaaaaaaaaaa.1&size=5" == parameters.query_after(str(Cursor(log="a" * 12, position=1)))


@pytest.mark.parametrize(
    ("query", "is_included"),
    [
        ("unit=310000011&includeSubunits=true", True),
        ("party=5&includeSubunits=true", True),
        ("party=5&includeSubunits=false", False),
        ("includeSubunits=true", True),
        ("includeSubunits=false", False),
        ("party=5", False),
    ],
)
def test_subunits_are_included_if_the_parameter_is_true(query: str, *, is_included: bool) -> None:
    """The next link of a GET has it too."""
    parameters = parse_query(f"after=0&{query}".encode(), parameter_set=PARTY_FEED)

    assert is_included == parameters.include_subunits
    assert f"after=1&{query}" == parameters.query_after("1")


@pytest.mark.parametrize(
    ("value", "is_included"), [("true", True), ("false", False), ("null", False), ('"true"', True), ('"false"', False)]
)
def test_member_that_includes_subunits_is_a_boolean(value: str, *, is_included: bool) -> None:
    """Its text is accepted too, as in a query."""
    body = f'{{"after": 0, "party": 5, "includeSubunits": {value}}}'

    assert is_included == body_parameters(body, parameter_set=PARTY_FEED).include_subunits


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("party=5&includeSubunits=True", ["includeSubunits"]),
        ("party=5&includeSubunits=1", ["includeSubunits"]),
        ("party=5&includeSubunits=", ["includeSubunits"]),
        ("party=5&includeSubunits", ["includeSubunits"]),
        ("party=5&includeSubunits=true&includeSubunits=true", ["includeSubunits"]),
        ("party=5&includesubunits=true", ["includesubunits"]),
        ("party=x&includeSubunits=true", ["party"]),
    ],
)
def test_invalid_inclusion_of_subunits_is_reported(query: str, names: list[str]) -> None:
    """It is true or false."""
    with pytest.raises(InvalidRequest) as refusal:
        parse_query(f"after=0&{query}".encode(), parameter_set=PARTY_FEED)

    assert names == [fault.parameter for fault in refusal.value.faults]


@pytest.mark.parametrize("query", ["", "subject=/party/5&", "person=1&"])
def test_subunits_in_the_feed_of_a_resource_need_a_unit_or_a_party(query: str) -> None:
    """That feed has no party of its own."""
    with pytest.raises(InvalidRequest) as refusal:
        parse_query(f"after=0&resource=urn:a:b&{query}includeSubunits=true".encode(), parameter_set=RESOURCE_FEED)

    assert "includeSubunits" in [fault.parameter for fault in refusal.value.faults]


@pytest.mark.parametrize("value", ["1", "0", '"yes"', "[true]", "{}", '""'])
def test_member_that_is_no_boolean_is_reported(value: str) -> None:
    """The fault has a pointer. A boolean for another member is a fault as well."""
    with pytest.raises(InvalidRequest) as refusal:
        body_parameters(f'{{"after": 0, "party": 5, "includeSubunits": {value}}}', parameter_set=PARTY_FEED)
    with pytest.raises(InvalidRequest) as other_refusal:
        body_parameters('{"after": 0, "type": true}', parameter_set=PARTY_FEED)

    assert ["/includeSubunits"] == [fault.pointer for fault in refusal.value.faults]
    assert ["/type"] == [fault.pointer for fault in other_refusal.value.faults]


@pytest.mark.parametrize("body", ["[", "[]", "7", '"x"', "{", "\xff", '{"a": ' + "[" * 2_000])
def test_body_that_is_no_object_is_refused(body: str) -> None:
    """The fault points to the whole body."""
    with pytest.raises(InvalidRequest) as refusal:
        body_parameters(body, "after=0")

    assert [""] == [fault.pointer for fault in refusal.value.faults]


def test_instance_feed_accepts_an_empty_body() -> None:
    """This feed needs neither a cursor nor a time."""
    assert body_parameters("", parameter_set=INSTANCE_FEED).after is None


@given(body=st.binary(max_size=60), query=st.binary(max_size=30))
def test_any_bytes_as_a_body_are_accepted_or_refused(body: bytes, query: bytes) -> None:
    """No bytes cause another exception."""
    with contextlib.suppress(InvalidRequest):
        parse_body(body, query)


def test_last_id_of_a_stream_replaces_the_cursor_of_the_request() -> None:
    """A browser connects again with the same URL and the header `Last-Event-ID`."""
    cursor = Cursor(log="a" * 12, position=7)
    query = query_parameters("after=0&eventType=a", last_id=str(cursor))
    body = parse_body(b'{"after": 0}', b"after=1", headers={"last-event-id": str(cursor)})

    assert (cursor, frozenset("a"), cursor) == (query.after, query.types, body.after)


@pytest.mark.parametrize(
    ("parameter_set", "query", "names"),
    [
        (REPORTEE_FEED, b"after=0", ["eventType"]),
        (RESOURCE_FEED, b"after=0", ["resource"]),
        (ANY_FEED, b"after=0&resource=x", ["resource"]),
        (INSTANCE_FEED, b"party=5&unit=310000011", ["party", "unit"]),
        (ANY_FEED, b"after=0&party=5&includeSubunits=true", ["includeSubunits"]),
        (HTTP_FEED, b"party=5&includeSubunits=true", ["includeSubunits"]),
        (REPORTEE_FEED, b"after=0&type=a&party=5&includeSubunits=false", ["includeSubunits"]),
        (INSTANCE_FEED, b"includeSubunits=false", ["includeSubunits"]),
    ],
)
def test_each_feed_has_its_own_parameters(parameter_set: ParameterSet, query: bytes, names: list[str]) -> None:
    """A required parameter that is absent is a fault, and so is one of another feed."""
    with pytest.raises(InvalidRequest) as refusal:
        parse_query(query, parameter_set=parameter_set)

    assert names == [fault.parameter for fault in refusal.value.faults]


def test_conditions_of_parameters_are_those_on_types_sources_and_subjects() -> None:
    """A feed that has only events of apps finds types by an index alone. A request without these has no conditions."""
    parameters = query_parameters("after=0&type=a&source=https://x&subject=/party/5")
    types = AnyOf("type", frozenset({"a", "app.a"}))
    sources = Matches("source", frozenset({"https://x"}), frozenset({"https://x/"}))
    subject = Equal("subject", "/party/5")

    assert (types, sources, subject) == parameters.app_conditions
    assert (types, Matches("type", frozenset("a"), app_prefix="app."), sources, subject) == parameters.conditions
    assert (sources, subject) == parameters.filters
    assert () == query_parameters("after=0").conditions


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:01Z", 60_000_000),
        ("1970-01-01%2000:00:01Z", 1_000_000),
        ("1970-01-01+00:00:01Z", 1_000_000),
        ("1970-01-01+00:01Z", 60_000_000),
        ("1970-01-01+01:01+01:00", 60_000_000),
        ("1970-01-01T01:00:01%2B01:00", 1_000_000),
        ("1970-01-01t00:00:01.5z", 1_500_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_999_999),
    ],
)
def test_time_without_seconds_or_with_a_space_is_accepted(text: str, moment: int) -> None:
    """Clients of the replaced platform write times so. A leap second is the end of its minute."""
    parameters = query_parameters(f"from={text}")

    assert moment == parameters.since
    assert moment == query_parameters(parameters.query_after("5")).since


@pytest.mark.parametrize(
    "text",
    [
        "2022-02-14",
        "2022-02-14Z",
        "2022-02-14%2B00:00:01Z",
        "2022-02-14T07Z",
        "2022-02-14T0722Z",
        "2022-02-14T07:22",
        "2022-02-14%20%2007:22:19Z",
        "2022-02-14_07:22:19Z",
        "2022-02-14T24:00Z",
        "2022-02-30T00:00Z",
        "0000-01-01T00:00Z",
        "2022-02-14T07:22:60Z",
        "%D9%A2022-02-14T07:22:19Z",
        "1644823339",
        "2022-02-14T07:22:19Z%00",
    ],
)
def test_text_that_is_no_time_is_refused(text: str) -> None:
    """A date alone names no moment."""
    assert ["from"] == fault_names(f"from={text}")
    assert ["to"] == fault_names(f"after=0&to={text}")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("eventType=%25ZZ", ["eventType"]),
        ("eventType=a*b", ["eventType"]),
        ("eventType=*a", ["eventType"]),
        ("eventType=a**", ["eventType"]),
        ("type=a%25%25", ["eventType"]),
        ("eventType=a%00", ["eventType"]),
        ("eventType=a%0A", ["eventType"]),
        ("eventType=%EF%BF%BE", ["eventType"]),
        ("source=https://x/*/y", ["source"]),
        ("source=https://x/%25zz/", ["source"]),
        ("source=https://x/%25%25", ["source"]),
        ("source=https://x/%3Cy%3E", ["source"]),
        ("source=https://x/%C3%B8", ["source"]),
        ("source=/ttd/x", ["source"]),
        ("source=ttd", ["source"]),
        ("source=", ["source"]),
        ("&".join(f"source=https://x/{number}" for number in range(21)), ["source"]),
        ("subject=", ["subject"]),
        ("subject=a&subject=b", ["subject"]),
        ("subject=a%7F", ["subject"]),
        ("alternativeSubject=/organisation/310000011", ["alternativeSubject"]),
        ("from=1970-01-01T00:00:00Z&from=1970-01-01T00:00:00Z", ["from"]),
        ("to=1970-01-01T00:00:00Z&to=1970-01-01T00:00:00Z", ["to"]),
        ("party=5&party=5", ["party"]),
        ("party=%D9%A5", ["party"]),
        ("unit=31000001%C2%B2", ["unit"]),
        ("size=%D9%A5", ["size"]),
        ("size=1.0", ["size"]),
        ("size=+1", ["size"]),
        ("=a", [None]),
        ("a%0Ab=1", [None]),
        ("EventType=a", ["EventType"]),
    ],
)
def test_value_outside_of_the_grammar_of_its_parameter_is_refused(query: str, names: list[str | None]) -> None:
    """A filter that nothing can pass is never an empty page, and no name that cannot be one is repeated."""
    assert names == fault_names(f"after=0&{query}")


@pytest.mark.parametrize(
    "query", ["eventType=%ZZ", "eventType=%4", "source=https://x/%/y", "%=1", "after=%", "a=%u0041"]
)
def test_invalid_escape_is_refused(query: str) -> None:
    """A `%` that begins no escape can only be a wildcard at the end of a filter (RFC 3986 §2.1)."""
    with pytest.raises(InvalidRequest):
        query_parameters(f"after=0&{query}")


@pytest.mark.parametrize("wildcard", ["*", "%", "%25", "%2A"])
def test_wildcard_at_the_end_matches_any_rest(wildcard: str) -> None:
    """Also without an escape, which no other reading has. The next link escapes it."""
    parameters = query_parameters(f"after=0&type=instance.{wildcard}&source=https://x/ttd/{wildcard}&size=5")
    following = query_parameters(parameters.query_after("7"))
    types = Matches("type", prefixes=frozenset({"instance."}), app_prefix="app.")

    assert (types, Matches("source", prefixes=frozenset({"https://x/ttd/"}))) == parameters.conditions
    assert parameters.conditions == following.conditions


def test_types_of_the_reportees_feed_have_no_wildcard() -> None:
    """An approval names whole types."""
    for value in ("*", "%25", "a*", "a%25"):
        with pytest.raises(InvalidRequest) as refusal:
            parse_query(f"after=0&eventType={value}".encode(), parameter_set=REPORTEE_FEED)

        assert ["eventType"] == [fault.parameter for fault in refusal.value.faults]


def test_alternative_subject_comes_in_a_header_or_a_body() -> None:
    """It may hold a person number, which never stands in a URL, so neither does the next link hold it."""
    headers = {"altinn-alternativesubject": "/person/01838012345"}
    get = parse_query(b"after=0", headers=headers)
    post = parse_body(
        b'{"after": 0, "alternativeSubject": "/person/01838012345", "subject": "/person/01838012345"}', b""
    )

    assert "/person/01838012345" == get.alternative_subject == post.alternative_subject == post.subject
    assert (Equal("alternativesubject", "/person/01838012345"),) == get.conditions
    assert "after=7" == get.query_after("7")
    with pytest.raises(InvalidRequest):
        parse_body(b"", b"", headers=headers, parameter_set=INSTANCE_FEED)


def test_headers_are_percent_encoded() -> None:
    """A header holds ASCII only (RFC 9110 §5.5)."""
    get = parse_query(b"after=0", headers={"altinn-alternativesubject": "b%C3%A6r 50%25"})

    assert "bær 50%" == get.alternative_subject


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ('{"after": 0, "after": 1}', ["/after", "/after"]),
        ('{"after": 0, "eventType": "a", "eventType": "b"}', ["/eventType"]),
        ('{"after": 0, "eventType": {"a": "b"}}', ["/eventType"]),
        ('{"after": 0, "eventType": ["a", ["b"]]}', ["/eventType"]),
        ('{"after": 0, "eventType": "\\ud800"}', [""]),
        ('{"after": "\\udfff"}', [""]),
        ('{"after": 0, "size": 1.5}', ["/size"]),
        ('{"after": 0, "size": true}', ["/size"]),
        ('{"after": 0, "size": NaN}', [""]),
        ('{"after": 0, "size": ' + "1" * 5_000 + "}", [""]),
        ('{"after": 0, "a b": 1}', [""]),
        ('{"after": 0, "party": ["5"]}', ["/party"]),
        ('\ufeff{"after": 0}', [""]),
    ],
)
def test_member_outside_of_its_grammar_is_refused(body: str, pointers: list[str]) -> None:
    """A repeated member could mean two things to two programs."""
    with pytest.raises(InvalidRequest) as refusal:
        body_parameters(body, "" if "after" in body else "after=0")

    assert set(pointers) <= {
        fault.pointer or f"/{fault.parameter}" if fault.pointer != "" else "" for fault in refusal.value.faults
    }


@pytest.mark.parametrize(
    ("body", "query", "names"),
    [
        ('{"after": 0, "after": 1}', "", ["/after"]),
        ('{"after": 0, "eventType": "x", "eventType": "y*z"}', "", ["/eventType", "/eventType"]),
        ('{"after": true}', "", ["/after"]),
        ('{"after": 1.5, "size": 0}', "", ["/after", "/size"]),
        ('{"from": []}', "", ["/from"]),
        ('{"from": "2020-01-01"}', "", ["/from"]),
        ("[]", "", [""]),
        ("{}", "from=2020-01-01T00:00:00Z", ["from"]),
        ("{}", "lastEventId=1", ["lastEventId"]),
        ('{"after": null}', "", ["from"]),
        ('{"to": true}', "", ["/to", "from"]),
    ],
)
def test_only_what_is_wrong_with_a_body_is_a_fault(body: str, query: str, names: list[str]) -> None:
    """A start that has a fault of its own is not also missing, and a repeated member has one fault."""
    with pytest.raises(InvalidRequest) as refusal:
        body_parameters(body, query)

    assert names == sorted(
        fault.pointer if fault.pointer is not None else str(fault.parameter) for fault in refusal.value.faults
    )


def test_sources_of_a_body_may_be_a_list() -> None:
    """As types may."""
    assert {"https://x", "https://y"} == body_parameters('{"after": 0, "source": ["https://x", "https://y"]}').sources


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1", 0.001), ("5000", 5), ("55000", 55), ("55001", 55), ("9" * 99, 55)]
)
def test_timeout_is_in_milliseconds_and_at_most_55_seconds(text: str, seconds: float) -> None:
    """As the wait that a client prefers."""
    assert seconds == query_parameters(f"after=0&timeout={text}").timeout


def test_last_event_id_is_the_position_to_read_after() -> None:
    """The next link continues from a cursor, with the same timeout."""
    parameters = query_parameters("lastEventId=7&timeout=9&size=5")

    assert EventId(id="7") == parameters.after
    assert "after=x.1&timeout=9&size=5" == parameters.query_after("x.1")


def test_last_id_of_a_stream_replaces_last_event_id() -> None:
    """It is newer."""
    cursor = Cursor(log="a" * 12, position=7)

    assert cursor == query_parameters("lastEventId=x", last_id=str(cursor)).after


@pytest.mark.parametrize("name", ["lastEventId", "timeout"])
def test_post_feed_has_no_parameters_of_http_feeds(name: str) -> None:
    """HTTP Feeds has only GET."""
    for body, query in ((f'{{"after":"0","{name}":"1"}}', b""), ('{"after":"0"}', f"{name}=1".encode())):
        with pytest.raises(InvalidRequest):
            parse_body(body.encode(), query)


def test_http_feed_needs_no_start() -> None:
    """Without a start it begins with the oldest event."""
    assert parse_query(b"", parameter_set=HTTP_FEED).after is None
