"""The components of the system on Azure, one concern each. None imports the service: tests compare the names."""
