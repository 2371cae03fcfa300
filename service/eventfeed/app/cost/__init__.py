"""The price of a log in Azure Cosmos DB, computed from rules that each name their source."""
