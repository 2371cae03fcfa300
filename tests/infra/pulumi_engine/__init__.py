"""The program on Pulumi's own engine: its command line and language host, built from their Go modules.

Azure is the simulated cloud, to which the engine attaches. `make engine` builds and runs it.
"""
