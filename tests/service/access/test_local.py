"""The register as a file: the development population, and files that are wrong."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventfeed.access.local import LocalRegister, population_file
from eventfeed.domain.ports import Organisation, Person, Register
from eventfeed.settings import SettingsError

KARI = "01838012345"
BAKERY = {"number": "310000011", "party": "51000011", "name": "Bakeriet AS"}
PERSON = {"number": KARI, "party": "50000001", "user": "20000001", "name": "Kari"}


def loaded(path: Path | None) -> LocalRegister:
    """The register of a file."""
    return LocalRegister(population_file(path))


def written(folder: Path, *organisations: object, people: tuple[object, ...] = ()) -> Path:
    """A register file of these entries."""
    file = folder / "register.json"
    file.write_bytes(msgspec.json.encode({"organisations": organisations, "people": people}))
    return file


@pytest.fixture
def register() -> Register:
    """The development population."""
    return loaded(None)


@pytest.mark.parametrize(
    ("number", "party", "org"),
    [
        ("991825827", "50002001", "ttd"),
        ("974761076", "50002002", "skd"),
        ("310000055", "51000055", "kommune"),
        ("310000011", "51000011", None),
        ("310000022", "51000022", None),
        ("310000033", "51000033", None),
        ("310000044", "51000044", None),
    ],
)
async def test_the_development_population_has_these_organisations(
    register: Register, number: str, party: str, org: str | None
) -> None:
    """Contract section 8."""
    assert Organisation(number=number, party=party, org=org) == await register.organisation(number)


@pytest.mark.parametrize(
    ("number", "user", "party"), [(KARI, "20000001", "50000001"), ("02838012346", "20000002", "50000002")]
)
async def test_the_development_population_has_these_people(
    register: Register, number: str, user: str, party: str
) -> None:
    """Contract section 8."""
    assert Person(user=user, party=party) == await register.person(number)


@pytest.mark.parametrize("number", ["", "999999999", "50002001", KARI, " 991825827"])
async def test_an_unknown_organisation_is_none(register: Register, number: str) -> None:
    """A party or a person is no organisation."""
    assert await register.organisation(number) is None


@pytest.mark.parametrize("number", ["", "99999999999", "50000001", "991825827"])
async def test_an_unknown_person_is_none(register: Register, number: str) -> None:
    """A party or an organisation is no person."""
    assert await register.person(number) is None


async def test_a_file_takes_the_place_of_the_population(tmp_path: Path) -> None:
    """Who is not in it does not exist."""
    register = loaded(written(tmp_path, {**BAKERY, "org": "bak"}, people=(PERSON,)))

    assert Organisation(number="310000011", party="51000011", org="bak") == await register.organisation("310000011")
    assert Person(user="20000001", party="50000001") == await register.person(KARI)
    assert await register.organisation("991825827") is None


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"number": "31000001"}, r"\$\.organisations\[0\]\.number"),
        ({"number": "3100000111"}, r"\$\.organisations\[0\]\.number"),
        ({"number": "310000011\n"}, r"\$\.organisations\[0\]\.number"),
        ({"number": "31000001\N{ARABIC-INDIC DIGIT SEVEN}"}, r"\$\.organisations\[0\]\.number"),
        ({"number": 310000011}, r"\$\.organisations\[0\]\.number"),
        ({"party": "0"}, r"\$\.organisations\[0\]\.party"),
        ({"party": "1" * 19}, r"\$\.organisations\[0\]\.party"),
        ({"org": "under_score"}, r"\$\.organisations\[0\]\.org"),
        ({"org": ""}, r"\$\.organisations\[0\]\.org"),
        ({"acts_for": ["x"]}, r"\$\.organisations\[0\]\.acts_for\[0\]"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
    ids=str,
)
def test_a_wrong_organisation_is_told_with_its_place(tmp_path: Path, changes: dict[str, object], place: str) -> None:
    """The file and the entry."""
    with pytest.raises(SettingsError, match=rf"register\.json: .*{place}.*; correct the file"):
        loaded(written(tmp_path, {**BAKERY, **changes}))


@pytest.mark.parametrize(
    "changes", [{"number": "0183801234"}, {"number": f"{KARI}0"}, {"user": "0"}, {"user": None}], ids=str
)
def test_a_wrong_person_is_told_with_their_place(tmp_path: Path, changes: dict[str, object]) -> None:
    """Eleven digits, and a user."""
    with pytest.raises(SettingsError, match=r"\$\.people\[0\]"):
        loaded(written(tmp_path, people=({**PERSON, **changes},)))


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"number": "310000011", "party": "2"}, "organisation 310000011 stands there twice"),
        ({"number": "310000012", "party": "51000011"}, "party 51000011 is given twice"),
        ({"number": "310000012", "party": "2", "org": "bak"}, "short name bak is given to two"),
        ({"number": "310000012", "party": "2", "acts_for": ["3"]}, "acts for party 3, which does not exist"),
    ],
    ids=str,
)
def test_what_must_be_once_is_once(tmp_path: Path, other: dict[str, object], fault: str) -> None:
    """Numbers, parties and short names; and nobody acts for nobody."""
    with pytest.raises(SettingsError, match=fault):
        loaded(written(tmp_path, {**BAKERY, "org": "bak"}, {"name": "Other", **other}))


def test_two_people_are_two(tmp_path: Path) -> None:
    """In number, party and user; every fault is told at once, and the number not at all."""
    with pytest.raises(SettingsError) as refusal:
        loaded(written(tmp_path, people=(PERSON, PERSON)))
    faults = str(refusal.value)

    assert 3 == len(faults.splitlines())
    assert ["same number", "user 20000001", "party 50000001"] == [
        each for each in ("same number", "user 20000001", "party 50000001") if each in faults
    ]
    assert KARI not in faults


def test_a_person_number_where_a_party_should_be_is_not_repeated(tmp_path: Path) -> None:
    """Well-formed but contradictory files are told as carefully as broken ones."""
    mistaken = {**BAKERY, "party": "31838012345", "acts_for": ["41838012345"]}
    with pytest.raises(SettingsError) as refusal:
        loaded(written(tmp_path, mistaken, {**mistaken, "number": "310000012"}))
    told = str(refusal.value)

    assert ["party (digits) is given twice", "acts for party (digits)"] == [
        each for each in ("party (digits) is given twice", "acts for party (digits)") if each in told
    ]
    assert [] == [number for number in ("31838012345", "41838012345") if number in told]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"organisations":[]}', b"[" * 100_000])
def test_a_file_that_is_no_register_is_told(tmp_path: Path, text: bytes) -> None:
    """Not JSON, or not of this shape."""
    file = tmp_path / "register.json"
    file.write_bytes(text)

    with pytest.raises(SettingsError, match=r"EVENTFEED_REGISTER=.*register\.json: .*; correct the file"):
        loaded(file)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    """With the reason."""
    with pytest.raises(SettingsError, match=r"cannot be read: (No such file|Is a directory)"):
        loaded(tmp_path / name)


MEMBERS = st.sampled_from(["number", "party", "user", "name", "org", "acts_for", KARI])
ENTRY = st.dictionaries(MEMBERS, st.sampled_from([KARI, "31838012345", "310000011", [KARI], ["31838012345"], "7", 7]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(organisations=st.lists(ENTRY, max_size=3), people=st.lists(ENTRY, max_size=3))
def test_no_complaint_repeats_a_person_number(
    tmp_path: Path, organisations: list[object], people: list[object]
) -> None:
    """Wherever in the file it was put, also where it does not belong."""
    try:
        loaded(written(tmp_path, *organisations, people=tuple(people)))
    except SettingsError as complaint:
        told = str(complaint).replace(str(tmp_path), "")

        assert [] == [number for number in (KARI, "31838012345") if number in told]
