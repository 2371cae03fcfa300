"""A place to look at what a service tells of itself, on this machine: `eventfeed serve --observe`.

It receives OTLP over HTTP like any other backend, keeps the newest of it in memory, and shows it on one page. It is a
process of its own, so that looking costs the service nothing but sending.
"""
