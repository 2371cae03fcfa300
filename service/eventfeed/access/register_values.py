"""Types of the values in a register file."""

from typing import Annotated, get_args

from msgspec import Meta

# A description completes "must be" in the message about a value that its pattern refuses.
OrganisationNumber = Annotated[str, Meta(pattern=r"^[0-9]{9}\Z", description="9 digits")]
PersonNumber = Annotated[str, Meta(pattern=r"^[0-9]{11}\Z", description="11 digits")]
# At most 18 digits: a platform token has the party as a 64-bit number.
PartyId = Annotated[
    str, Meta(pattern=r"^[1-9][0-9]{0,17}\Z", description="a number of at most 18 digits, without a leading 0")
]
UserId = PartyId
Uuid = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z",
        description="a uuid in lower case: digits and a to f in groups of 8, 4, 4, 4 and 12",
    ),
]
# Short names are parts of paths and of resource names, where `_` separates.
ShortName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9-]+\Z", description="a short name of the letters a to z, digits and hyphens")
]
# The description of each pattern.
FORMS = {
    meta.pattern: meta.description
    for meta in (get_args(each)[1] for each in (OrganisationNumber, PersonNumber, PartyId, Uuid, ShortName))
}
