"""Feeds over HTTP: parameters, pages, long polls and event streams."""
