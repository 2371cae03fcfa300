"""Devtools: a page with traces and charts of a service on this machine, `eventfeed serve --observe`.

It is a process of its own that receives OTLP over HTTP and keeps the newest data in memory.
"""
