"""Rules that each resource must satisfy before it is created or changed. The policy pack and the tests apply them."""

from policy.rule import RULES
from policy.rules import apps, data, network

__all__ = ["RULES", "apps", "data", "network"]
