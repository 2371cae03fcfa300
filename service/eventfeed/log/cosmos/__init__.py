"""The engine on Azure Cosmos DB for NoSQL."""
