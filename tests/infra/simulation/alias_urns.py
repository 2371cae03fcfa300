"""Programs without the URNs of aliases, which take two thirds of a run."""

from contextlib import AbstractContextManager
from unittest import mock

import pulumi.resource


def no_alias_urns() -> AbstractContextManager[object]:
    """Return a context in which resources compute no URNs of their aliases.

    Each resource of Azure has dozens of aliases. Pulumi sends them as they are, and their URNs only to an old engine.
    """
    return mock.patch.object(pulumi.resource, "collapse_alias_to_urn", return_value="")
