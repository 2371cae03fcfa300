"""The policy pack: rules for single resources, which Pulumi applies before each change."""
