"""A few of the cases, each time."""

from tests.resilience.authorisation.readers import run


async def test_every_reader_sees_exactly_what_it_may() -> None:
    """Pages are ordered subsets of what the policies allow, and following their cursors gives all of it."""
    assert [] == list(await run(1, cases=5_000))
