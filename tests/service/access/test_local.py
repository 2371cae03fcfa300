"""The register as a file: the development population, and invalid files."""

import re
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


def load(path: Path | None) -> LocalRegister:
    """Load the register of a file."""
    return LocalRegister(population_file(path))


def write(folder: Path, *organisations: object, people: tuple[object, ...] = ()) -> Path:
    """Write a register file of these entries."""
    file = folder / "register.json"
    file.write_bytes(msgspec.json.encode({"organisations": organisations, "people": people}))
    return file


@pytest.fixture
def register() -> Register:
    """The development population."""
    return load(None)


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
async def test_development_population_has_the_organisations_of_the_contract(
    register: Register, number: str, party: str, org: str | None
) -> None:
    """Contract section 8 lists the organisations."""
    assert Organisation(number=number, party=party, org=org) == await register.organisation(number)


@pytest.mark.parametrize(
    ("number", "user", "party"), [(KARI, "20000001", "50000001"), ("02838012346", "20000002", "50000002")]
)
async def test_development_population_has_the_people_of_the_contract(
    register: Register, number: str, user: str, party: str
) -> None:
    """Contract section 8 lists the people."""
    assert Person(user=user, party=party) == await register.person(number)


@pytest.mark.parametrize("number", ["", "999999999", "50002001", KARI, " 991825827"])
async def test_unknown_organisation_number_returns_none(register: Register, number: str) -> None:
    """The number of a party or a person is no organisation number."""
    assert await register.organisation(number) is None


@pytest.mark.parametrize("number", ["", "99999999999", "50000001", "991825827"])
async def test_unknown_person_number_returns_none(register: Register, number: str) -> None:
    """The number of a party or an organisation is no person number."""
    assert await register.person(number) is None


async def test_register_file_replaces_the_development_population(tmp_path: Path) -> None:
    """The register has no other people or organisations."""
    register = load(write(tmp_path, {**BAKERY, "org": "bak"}, people=(PERSON,)))

    assert Organisation(number="310000011", party="51000011", org="bak") == await register.organisation("310000011")
    assert Person(user="20000001", party="50000001") == await register.person(KARI)
    assert await register.organisation("991825827") is None


@pytest.mark.parametrize(
    ("changes", "pointer"),
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
def test_invalid_organisation_is_reported_with_file_and_entry(
    tmp_path: Path, changes: dict[str, object], pointer: str
) -> None:
    """The message names the next step."""
    with pytest.raises(SettingsError, match=rf"register\.json: .*{pointer}.*; correct the file"):
        load(write(tmp_path, {**BAKERY, **changes}))


@pytest.mark.parametrize(
    "changes", [{"number": "0183801234"}, {"number": f"{KARI}0"}, {"user": "0"}, {"user": None}], ids=str
)
def test_invalid_person_is_reported_with_the_entry(tmp_path: Path, changes: dict[str, object]) -> None:
    """A person needs eleven digits and a user."""
    with pytest.raises(SettingsError, match=r"\$\.people\[0\]"):
        load(write(tmp_path, people=({**PERSON, **changes},)))


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"number": "310000011", "party": "2"}, "organisation 310000011 occurs twice"),
        ({"number": "310000012", "party": "51000011"}, "party 51000011 occurs twice"),
        ({"number": "310000012", "party": "2", "org": "bak"}, "two organisations have the short name bak"),
        ({"number": "310000012", "party": "2", "acts_for": ["3"]}, "acts for party 3, which does not exist"),
    ],
    ids=str,
)
def test_duplicate_organisation_is_reported(tmp_path: Path, other: dict[str, object], fault: str) -> None:
    """Numbers, parties and short names are unique, and rights refer to existing parties."""
    with pytest.raises(SettingsError, match=fault):
        load(write(tmp_path, {**BAKERY, "org": "bak"}, {"name": "Other", **other}))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"organisation": "310000012"}, "a system user belongs to organisation 310000012, which does not exist"),
        ({"acts_for": ["3"]}, "acts for party 3, which does not exist"),
        ({"uuid": "7B2E0A4C-5d3f-4c66-9a51-9a0000000011"}, r"\$\.system_users\[1\]\.uuid"),
        ({"uuid": "x"}, r"\$\.system_users\[1\]\.uuid"),
        ({}, "system user 7b2e0a4c-5d3f-4c66-9a51-9a0000000011 occurs twice"),
    ],
    ids=str,
)
def test_invalid_system_user_is_reported(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    """A system user belongs to an organisation of the file, and its uuid is unique."""
    entry = {"uuid": "7b2e0a4c-5d3f-4c66-9a51-9a0000000011", "organisation": "310000011", "name": "System"}
    file = tmp_path / "register.json"
    entries = {"organisations": [BAKERY], "people": [], "system_users": [entry, {**entry, **changes}]}
    file.write_bytes(msgspec.json.encode(entries))

    with pytest.raises(SettingsError, match=fault):
        load(file)


UPPER_CASE = "7B2E0A4C-5D3F-4C66-9A51-9A0000000011"
SYSTEM_USER = {"uuid": UPPER_CASE.lower(), "organisation": "310000011", "name": "System"}
APPROVAL = {"organisation": "310000011", "types": ["a"], "valid_to": "2027-01-01T00:00:00Z", "reason": "r"}


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"organisations": [{**BAKERY, "uuid": UPPER_CASE}]}, "`$.organisations[0].uuid` must be a uuid in lower case"),
        ({"people": [{**PERSON, "uuid": UPPER_CASE}]}, "`$.people[0].uuid` must be a uuid in lower case"),
        ({"system_users": [{**SYSTEM_USER, "uuid": UPPER_CASE}]}, "`$.system_users[0].uuid` must be a uuid in lower"),
        ({"organisations": [{**BAKERY, "number": "1"}]}, "`$.organisations[0].number` must be 9 digits"),
        ({"people": [{**PERSON, "number": "1"}]}, "`$.people[0].number` must be 11 digits"),
        ({"people": [{**PERSON, "user": "01"}]}, "`$.people[0].user` must be a number of at most 18 digits"),
        ({"people": [{**PERSON, "party": ""}]}, "`$.people[0].party` must be a number of at most 18 digits"),
        ({"people": [{**PERSON, "user": None}]}, "`$.people[0].user` must be text, not null"),
        ({"organisations": [{**BAKERY, "org": "a_b"}]}, "`$.organisations[0].org` must be a short name"),
        ({"organisations": [{**BAKERY, "uuid": 7}]}, "`$.organisations[0].uuid` must be text, not an integer"),
        ({"organisations": {}}, "`$.organisations` must be a list, not an object"),
        ({"units": [7.5]}, "`$.units[0]` must be an object, not a number"),
        ({"units": [{"organisation": "1"}]}, "`$.units[0].organisation` must be 9 digits"),
        ({"approvals": [{**APPROVAL, "types": []}]}, "`$.approvals[0].types` must have a length of at least 1"),
        ({"approvals": [{**APPROVAL, "types": ["a"] * 51}]}, "`$.approvals[0].types` must have a length of at most 50"),
        ({"approvals": [{**APPROVAL, "valid_to": "x"}]}, "`$.approvals[0].valid_to` must be a time with an offset"),
        (
            {"approvals": [{**APPROVAL, "valid_to": "2027-01-01T00:00:00"}]},
            "`$.approvals[0].valid_to` must be a time with an offset",
        ),
        (
            {"approvals": [{**APPROVAL, "valid_to": True}]},
            "`$.approvals[0].valid_to` must be a time, not true or false",
        ),
        ({"colour": 1}, "the file has the fault: unknown field `colour`"),
    ],
    ids=str,
)
def test_invalid_value_is_reported_in_plain_words(tmp_path: Path, members: object, fault: str) -> None:
    """The message has the field and the fix, and no expression of the parser."""
    file = tmp_path / "register.json"
    file.write_bytes(msgspec.json.encode({"organisations": [BAKERY], "people": [], **members}))  # type: ignore[dict-item]

    with pytest.raises(SettingsError, match=re.escape(fault)) as error:
        load(file)

    assert str(error.value).endswith("; correct the file")
    assert [] == [word for word in ("regex", "Expected", "^[") if word in str(error.value)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"[]", "the file must be an object, not a list"),
        (b"{}", "the file has the fault: missing required field `organisations`"),
        (b"{", "the file is no JSON: it ends too early"),
        (b"x", "the file is no JSON: "),
        (b'{"organisations": [{"number": "\xff"}]}', "the file is not UTF-8"),
    ],
)
def test_text_that_is_no_register_is_reported_in_plain_words(tmp_path: Path, text: bytes, fault: str) -> None:
    """The file as a whole is the place."""
    file = tmp_path / "register.json"
    file.write_bytes(text)

    with pytest.raises(SettingsError, match=re.escape(f"register.json: {fault}")):
        load(file)


def test_duplicate_person_is_reported_without_the_number(tmp_path: Path) -> None:
    """Number, user and party are reported together."""
    with pytest.raises(SettingsError) as error:
        load(write(tmp_path, people=(PERSON, PERSON)))
    faults = str(error.value)

    assert 3 == len(faults.splitlines())
    assert ["same number", "user 20000001", "party 50000001"] == [
        each for each in ("same number", "user 20000001", "party 50000001") if each in faults
    ]
    assert KARI not in faults


def test_person_number_in_the_place_of_a_party_is_masked(tmp_path: Path) -> None:
    """This also holds in a well-formed file with contradictions."""
    entry = {**BAKERY, "party": "31838012345", "acts_for": ["41838012345"]}
    with pytest.raises(SettingsError) as error:
        load(write(tmp_path, entry, {**entry, "number": "310000012"}))
    message = str(error.value)

    assert ["party (digits) occurs twice", "acts for party (digits)"] == [
        each for each in ("party (digits) occurs twice", "acts for party (digits)") if each in message
    ]
    assert [] == [number for number in ("31838012345", "41838012345") if number in message]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"organisations":[]}', b"[" * 100_000])
def test_file_that_is_no_register_is_reported(tmp_path: Path, text: bytes) -> None:
    """The file is no JSON, or JSON of another structure."""
    file = tmp_path / "register.json"
    file.write_bytes(text)

    with pytest.raises(SettingsError, match=r"EVENTFEED_REGISTER=.*register\.json: .*; correct the file"):
        load(file)


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_unreadable_register_file_is_reported_with_the_reason(tmp_path: Path, name: str) -> None:
    """The file does not exist, or is a directory."""
    with pytest.raises(SettingsError, match=r"cannot be read: (No such file|Is a directory)"):
        load(tmp_path / name)


MEMBERS = st.sampled_from(["number", "party", "user", "name", "org", "acts_for", KARI])
ENTRY = st.dictionaries(MEMBERS, st.sampled_from([KARI, "31838012345", "310000011", [KARI], ["31838012345"], "7", 7]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(organisations=st.lists(ENTRY, max_size=3), people=st.lists(ENTRY, max_size=3))
def test_error_message_never_contains_a_person_number(
    tmp_path: Path, organisations: list[object], people: list[object]
) -> None:
    """The number may be anywhere in the file."""
    try:
        load(write(tmp_path, *organisations, people=tuple(people)))
    except SettingsError as error:
        message = str(error).replace(str(tmp_path), "")

        assert [] == [number for number in (KARI, "31838012345") if number in message]


async def test_register_finds_parties_by_uuid(tmp_path: Path) -> None:
    """It is optional in the file. An unknown uuid has no party."""
    uuid = "7b2e0a4c-5d3f-4c66-9a51-310000000011"
    register = load(write(tmp_path, {**BAKERY, "uuid": uuid}))

    assert ("51000011", None) == (await register.party(uuid), await register.party(uuid[::-1]))


UNITS = [{"organisation": f"31000001{unit}", "parent": f"31000001{parent}"} for unit, parent in ("21", "31", "43")]


def write_units(folder: Path, units: object, *, organisations: int = 5) -> Path:
    """Write a register file of organisations with the numbers from 310000011 and the parties from 11, and units."""
    entries = [
        {"number": str(310000011 + index), "party": str(11 + index), "name": "U"} for index in range(organisations)
    ]
    file = folder / "register.json"
    file.write_bytes(msgspec.json.encode({"organisations": entries, "people": [], "units": units}))
    return file


@pytest.mark.parametrize(
    ("party", "subunits"),
    [("11", {"12", "13", "14"}), ("13", {"14"}), ("12", set()), ("15", set()), ("99", set()), (None, set())],
)
async def test_register_finds_the_subunits_of_a_unit(tmp_path: Path, party: str | None, subunits: set[str]) -> None:
    """Those of a sub-unit are among them. A unit of no other, or one that does not exist, has none."""
    assert subunits == await load(write_units(tmp_path, UNITS)).subunits(party)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([{**UNITS[0], "parent": "999999999"}], "a unit names organisation 999999999, which does not exist"),
        ([{**UNITS[0], "organisation": "999999999"}], "a unit names organisation 999999999, which does not exist"),
        ([UNITS[0], UNITS[0]], "organisation 310000012 occurs twice in units; keep one"),
        ([UNITS[0], {**UNITS[0], "parent": "310000013"}], "organisation 310000012 occurs twice in units; keep one"),
        ([{**UNITS[0], "parent": "310000012"}], "organisation 310000012 is a unit below itself"),
        ([*UNITS, {"organisation": "310000011", "parent": "310000014"}], "is a unit below itself; correct its parent"),
        ([{"organisation": "310000012"}], "missing required field `parent`"),
        ([{**UNITS[0], "parent": 310000011}], r"$.units[0].parent"),
        ([{**UNITS[0], "name": "x"}], "unknown field `name`"),
        ({}, r"$.units"),
    ],
)
def test_contradictory_units_are_rejected(tmp_path: Path, units: object, message: str) -> None:
    """Both organisations exist, a unit has one parent, and no unit is below itself."""
    with pytest.raises(SettingsError, match=re.escape(message)):
        load(write_units(tmp_path, units))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ([{"resource": "urn:a1:x", "owner": "b"}] * 2, "resource urn:a1:x occurs twice; keep one"),
        ([{"resource": "urn:a1:x", "owner": "c"}], "a resource belongs to c, which is no organisation's short name"),
        ([{"resource": "x", "owner": "b"}], "resource 'x' is no URN (RFC 8141) of at most 1000 characters"),
        ([{"resource": "urn:x", "owner": "b"}], "resource 'urn:x' is no URN"),
        ([{"resource": "urn:a:x y", "owner": "b"}], "resource 'urn:a:x y' is no URN"),
        ([{"resource": "urn:a1:x\n", "owner": "b"}], "resource 'urn:a1:x\\n' is no URN"),
        ([{"resource": "urn:a1:" + "x" * 1_000, "owner": "b"}], "is no URN"),
        ([{"resource": "urn:altinn:resource:app_b_x", "owner": "b"}], "that of an app, which belongs to the org in"),
        ([{"resource": "URN:altinn:resource:App_b", "owner": "b"}], "that of an app, which belongs to the org in"),
        ([{"resource": 7, "owner": "b"}], "`$.resources[0].resource` must be text, not an integer; correct the file"),
        ([{"resource": "urn:a1:x", "owner": "b_c"}], "`$.resources[0].owner` must be a short name of the letters"),
    ],
)
def test_contradictory_owners_are_rejected(tmp_path: Path, resources: object, message: str) -> None:
    """The message names the resource, or the organisation that is missing."""
    file = tmp_path / "register.json"
    organisation = {"number": "310000011", "party": "51000011", "name": "B", "org": "b"}
    file.write_bytes(msgspec.json.encode({"organisations": [organisation], "people": [], "resources": resources}))

    with pytest.raises(SettingsError, match=re.escape(message)):
        load(file)
