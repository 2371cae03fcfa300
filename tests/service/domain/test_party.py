"""Forms of `subject` that name a party."""

import pytest

from eventfeed.domain.party import PartyName, has_malformed_id, parse_party

UUID = "7b2e0a4c-5d3f-4c66-9a51-310000000011"


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("/party/51000011", PartyName("party", "51000011")),
        ("urn:altinn:party:id:51000011", PartyName("party", "51000011")),
        (f"urn:altinn:party:uuid:{UUID.upper()}", PartyName("uuid", UUID)),
        *((prefix + "310000011", PartyName("organisation", "310000011")) for prefix in (
            "", "/organisation/", "/organization/", "/org/", "urn:altinn:organization:identifier-no:"
        )),
        *((prefix + "01838012345", PartyName("person", "01838012345")) for prefix in (
            "", "/person/", "urn:altinn:person:identifier-no:"
        )),
    ],
)  # fmt: skip
def test_each_form_of_a_subject_names_a_party(subject: str, name: PartyName) -> None:
    """Bare digits are a person if there are 11, and an organisation if there are 9."""
    assert name == parse_party(subject)


@pytest.mark.parametrize(
    "subject",
    [
        *("", "/party/", "/party/x", "/party/5/6", "/party/01838012345", "urn:altinn:party:id:01838012345"),
        *("/org/ttd", "/organisation/31000001", "3100000110", "/case/310000011", "310000011\n", "\uff1310000011"),
        f"urn:altinn:party:uuid:{UUID}0",
    ],
)
def test_other_subject_names_no_party(subject: str) -> None:
    """A person number is no party id, and the whole subject counts."""
    assert parse_party(subject) is None


@pytest.mark.parametrize(
    ("subject", "is_malformed"),
    [("/party/01838012345", True), ("urn:altinn:party:id:x", True), ("/party/5", False), ("/case/7", False)],
)
def test_prefix_of_a_party_id_needs_a_party_id(subject: str, *, is_malformed: bool) -> None:
    """Any other text is a subject without a party."""
    assert is_malformed is has_malformed_id(subject)
