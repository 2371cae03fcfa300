"""The platform on Azure: what the program asks for, whether that is right, and what it is made to do."""
