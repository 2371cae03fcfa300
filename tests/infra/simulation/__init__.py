"""A simulation of an engine and a cloud for the program in `infra/`, over Pulumi's own wire protocol.

It is not Pulumi: it runs the unmodified program as the command line would, and stands in for what is behind it.
"""
