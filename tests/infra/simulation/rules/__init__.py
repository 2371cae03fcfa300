"""The rules that Azure applies to what is written to it, beyond the types of the inputs.

`RULES` is the table. A rule is a function in a module of this package: its docstring is the requirement, and it yields
a sentence for each violation. A rule about order concerns a whole run, so only the simulated engine applies it.
"""

from tests.infra.simulation.rules import apps as apps
from tests.infra.simulation.rules import data as data
from tests.infra.simulation.rules import domain as domain
from tests.infra.simulation.rules import gateway as gateway
from tests.infra.simulation.rules import monitoring as monitoring
from tests.infra.simulation.rules import network as network
from tests.infra.simulation.rules import subscription as subscription
from tests.infra.simulation.rules.rule import RULES, OrderedWrite, Rule, Write, violations

__all__ = ["RULES", "OrderedWrite", "Rule", "Write", "violations"]
