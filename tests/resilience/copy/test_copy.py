"""The short form of the copy there and back."""

from tests.resilience.copy.trial import run_trial

EVENTS = 20_000


def test_log_that_was_copied_to_cosmos_db_and_back_has_the_same_rows() -> None:
    """Commits of the copy are not those of the publishers; entries are."""
    verdict = run_trial(EVENTS)

    assert verdict.same
    assert all(f"the events 1 to {EVENTS} of the log" in each.output for each in verdict.copies)
