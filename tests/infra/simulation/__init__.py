"""A simulation of an engine and a cloud for the program in `infra/`, over Pulumi's own wire protocol.

It is not Pulumi: it runs the unmodified program as the command line would, and stands in for what is behind it. It
refuses what it does not know (imports, transforms, explicit providers, resources in code of others, questions to
Azure), looks at no alias, refreshes nothing, and forgets what a run that failed had replaced.
"""
