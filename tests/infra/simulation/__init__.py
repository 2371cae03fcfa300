"""A simulation of Pulumi's engine and of Azure for the program in `infra/`, over Pulumi's own wire protocol.

It runs the unmodified program as Pulumi's command line would. It rejects everything it does not support: imports,
transforms, explicit providers, remote components and function calls. It ignores aliases, has no refresh, and a run
that fails forgets the resources that it replaced.
"""
