"""Session tokens of a container."""

import pytest

from eventfeed.log.cosmos.sessions import SESSION_TOKEN, SessionTokens


def tokens_after(*headers: str) -> str | None:
    """The token of a read after responses with these tokens."""
    tokens = SessionTokens()
    for each in headers:
        tokens.observe({SESSION_TOKEN: each})
    return tokens.token


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        (["0:-1#5"], "0:-1#5"),
        (["0:-1#9", "0:-1#10", "0:-1#2"], "0:-1#10"),
        (["0:-1#5", "1:-1#3", "0:-1#6"], "0:-1#6,1:-1#3"),
        (["0:-1#5,1:-1#3"], "0:-1#5,1:-1#3"),
        (["0:1#50#1=3", "0:2#7#1=4#2=5"], "0:2#7#1=4#2=5"),
        (["0:-1#5", "", "nothing", "0:-1", "0:x#y"], "0:-1#5"),
    ],
    ids=["none", "one", "newest", "partitions", "several in one", "new version", "malformed"],
)
def test_token_has_the_newest_state_of_each_partition(headers: list[str], expected: str | None) -> None:
    """A failover increases the version of a token, and its number may begin lower. Malformed tokens are ignored."""
    assert expected == tokens_after(*headers)
