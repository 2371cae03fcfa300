"""The parts of the system on Azure, one concern each. None knows the service's code; tests/test_seams.py compares."""
