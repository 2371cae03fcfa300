"""Session tokens: the state of each physical partition that this process has seen.

The SDK keeps tokens too. But with endpoint discovery, which an account in Azure has, it deletes those of a container
after a replica has refused a read twice (4.17.1). The next read would then see an older state.
"""

from collections.abc import Mapping
from typing import NamedTuple

SESSION_TOKEN = "x-ms-session-token"  # noqa: S105  # the name of a header


class _State(NamedTuple):
    """The state of a partition: the version of its replicas, the number of its newest write, and the token."""

    version: int
    number: int
    token: str


class SessionTokens:
    """The newest token of each physical partition of a container."""

    def __init__(self) -> None:
        self._states = dict[str, _State]()

    def observe(self, headers: Mapping[str, str]) -> None:
        """Note the tokens of a response."""
        for token in headers.get(SESSION_TOKEN, "").split(","):
            partition, _, state = token.partition(":")
            numbers = state.split("#")
            if len(numbers) > 1 and all(each.lstrip("-").isdecimal() for each in numbers[:2]):
                seen = _State(int(numbers[0]), int(numbers[1]), token)
                self._states[partition] = max(seen, self._states.get(partition, seen))

    @property
    def token(self) -> str | None:
        """The token of a read of any partition; None before the first response."""
        return ",".join(state.token for state in self._states.values()) or None
