"""Devtools: a page with traces and charts of a service on this machine, `eventfeed serve --observe`.

It receives OTLP over HTTP like any other collector and keeps the newest data in memory. It is a process of its own: the
service only exports to it.
"""
