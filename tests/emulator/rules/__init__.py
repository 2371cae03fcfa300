"""Rules of Azure Cosmos DB that the emulator does not have, played between the SDK and the emulator.

A rule gets a request and a function that sends it on, to the next rule and at last to the emulator. It may refuse the
request, change it, or change the response. docs/cosmos.md lists the rules with their sources and tests.
"""
