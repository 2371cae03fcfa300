"""The policy pack: the rules, each of which stops a preview or an update before the resource is changed."""

import sys
from contextlib import suppress
from pathlib import Path

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

# Pulumi puts only the pack's own folder on the path.
sys.path.insert(0, str(Path(__file__).parents[1]))

from policy import rules
from policy.rule import Resource, Rule
from policy.stack_file import is_production, stack_of

AZURE = "azure-native:"


def policy(rule: Rule) -> ResourceValidationPolicy:
    """Return the policy that applies a rule."""

    def validate(args: ResourceValidationArgs, report_violation: ReportViolation) -> None:
        resource_type = args.resource_type.removeprefix(AZURE)
        resource = Resource(
            type=resource_type,
            inputs=args.props,
            protect=args.opts.protect,
            production=is_production(stack_of(args.urn)),
        )
        # A value that a preview does not know yet is checked by the update, before it is sent to Azure.
        with suppress(UnknownValueError):
            for violation in rule.violations(resource):
                report_violation(violation)

    return ResourceValidationPolicy(name=rule.name, description=rule.meaning, validate=validate)


PolicyPack(
    name="eventfeed", enforcement_level=EnforcementLevel.MANDATORY, policies=[policy(each) for each in rules.RULES]
)
