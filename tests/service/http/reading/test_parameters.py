"""A feed's parameters: what they mean, and every fault at once."""

import contextlib
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventfeed.domain.cursor import Bare, Cursor
from eventfeed.domain.errors import InvalidRequest
from eventfeed.http.reading.parameters import ANONYMOUS, EVERY, Expected, Parameters, parameters_of, parameters_of_body


def of(query: str, person: str | None = None) -> Parameters:
    """The parameters of a query."""
    return parameters_of(query.encode(), person=person)


def faults(query: str, person: str | None = None) -> list[str | None]:
    """The parameters at fault, in the order of their names."""
    with pytest.raises(InvalidRequest) as refused:
        of(query, person)
    return sorted((fault.parameter for fault in refused.value.faults), key=str)


def test_everything_a_feed_takes() -> None:
    """Each parameter means what the contract says; `type` is another name of `eventType`."""
    found = of(
        "after=5&from=1970-01-01T00:00:01Z&to=1970-01-01T00:00:02Z&eventType=a&type=b&eventType=a"
        "&source=https://x&party=5&unit=310000011&size=7",
        "01838012345",
    )

    assert (Bare(position=5), 1_000_000, 2_000_000) == (found.after, found.since, found.until)
    assert (frozenset("ab"), "https://x", "5", "310000011") == (found.types, found.source, found.party, found.unit)
    assert ("01838012345", 7) == (found.person, found.size)


@pytest.mark.parametrize(("size", "meant"), [("1", 1), ("1000", 1000), ("1001", 1000), ("9" * 99, 1000)])
def test_a_size_is_capped(size: str, meant: int) -> None:
    """More than a page holds is a full page."""
    assert meant == of(f"after=0&size={size}").size


def test_the_default_size_is_fifty() -> None:
    """A page holds 50 events unless asked otherwise."""
    assert 50 == of("after=0").size


@pytest.mark.parametrize("offset", ["+01:00", " 01:00", "%2B01:00", "%2b01:00"])
def test_a_plus_may_be_lost(offset: str) -> None:
    """A `+` that a query string turned into a space is a `+`, and the next link escapes it."""
    found = of(f"from=1970-01-01T01:00:00{offset}".replace(" ", "%20"))

    assert 0 == found.since
    assert "from=1970-01-01T01%3A00%3A00%2B01%3A00" in found.query_after(str(Cursor(log="a" * 12, position=1)))


@pytest.mark.parametrize(
    ("query", "named"),
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
        ("size=0&from=x&unit=1&to=y&a=b", ["a", "from", "size", "to", "unit"]),
    ],
)
def test_every_fault_is_named_at_once(query: str, named: list[str]) -> None:
    """A reader corrects everything in one go."""
    assert named == faults(query)


def test_a_person_is_eleven_digits() -> None:
    """And is not repeated in what is told of it."""
    assert ["person"] == faults("after=0", "0183801234")


@pytest.mark.parametrize("query", ["after=%ff", "after=0&a=%zz%ff", "&".join(["a=b"] * 999)])
def test_a_query_that_cannot_be_read_is_refused(query: str) -> None:
    """Bytes that are no text, or far too many fields."""
    with pytest.raises(InvalidRequest):
        of(query)


@given(types=st.lists(st.text(min_size=1), min_size=1, max_size=5), source=st.text(min_size=1))
def test_the_next_query_asks_the_same_from_further_on(types: list[str], source: str) -> None:
    """Only `after` differs, whatever the values are."""
    first = of(
        urlencode([("from", "2026-01-31T12:00:00+02:00"), ("source", source), *(("type", each) for each in types)])
    )
    following = of(first.query_after(str(Cursor(log="a" * 12, position=9))))

    assert Cursor(log="a" * 12, position=9) == following.after
    assert (first.since, first.types, first.source) == (following.since, following.types, following.source)


@given(value=st.text(max_size=30))
def test_any_text_is_read_or_refused(value: str) -> None:
    """No value makes anything but parameters or a refusal."""
    for name in ("after", "from", "to", "size", "party", "unit", "eventType"):
        with contextlib.suppress(InvalidRequest):
            of(f"after=0&{name}={quote(value, errors='replace')}")


def of_body(body: str, query: str = "", expected: Expected = EVERY) -> Parameters:
    """The parameters of a POST."""
    return parameters_of_body(body.encode(), query.encode(), expected=expected)


def test_a_size_is_repeated_as_it_was_understood() -> None:
    """Not as it was sent: eleven digits might be somebody's number."""
    found = parameters_of(b"after=0&size=01838012345&eventType=a", person=None)

    assert "after=x.1&eventType=a&size=1000" == found.query_after(str(Cursor(log="x", position=1)))


def test_a_body_says_what_a_query_says() -> None:
    """Numbers and text alike, types alone or several, null as nothing."""
    found = of_body(
        '{"after": 5, "from": "1970-01-01T01:00:00+01:00", "eventType": ["a", "b"], "type": "c", "unit": "310000011",'
        ' "party": 7, "person": "01838012345", "size": "9", "source": null}'
    )

    assert (Bare(position=5), 0, frozenset("abc")) == (found.after, found.since, found.types)
    assert ("7", "310000011", "01838012345") == (found.party, found.unit, found.person)
    assert (9, None) == (found.size, found.source)


def test_the_link_comes_before_the_body() -> None:
    """`after` and `size` of the query, each for itself; the next link holds both and nothing else."""
    found = of_body('{"after": "1", "size": 5, "type": "x"}', "after=2")
    other = of_body('{"after": "1", "size": 5}', "size=6")

    assert (Bare(position=2), 5, frozenset("x")) == (found.after, found.size, found.types)
    assert (Bare(position=1), 6) == (other.after, other.size)
    assert "after=aaaaaaaaaaaa.1&size=5" == found.query_after(str(Cursor(log="a" * 12, position=1)))


@pytest.mark.parametrize("body", ["[", "[]", "7", '"x"', "{", "\xff", '{"a": ' + "[" * 2_000])
def test_a_body_that_is_no_object_is_told(body: str) -> None:
    """By the pointer of the whole."""
    with pytest.raises(InvalidRequest) as refused:
        of_body(body, "after=0")

    assert [""] == [fault.pointer for fault in refused.value.faults]


def test_the_instance_feed_needs_nothing() -> None:
    """An empty body is no fault."""
    assert of_body("", expected=ANONYMOUS).after is None


@given(body=st.binary(max_size=60), query=st.binary(max_size=30))
def test_any_body_is_understood_or_refused(body: bytes, query: bytes) -> None:
    """Never anything else."""
    with contextlib.suppress(InvalidRequest):
        parameters_of_body(body, query)
