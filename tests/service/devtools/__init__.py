"""Tests of the page with traces and charts."""
