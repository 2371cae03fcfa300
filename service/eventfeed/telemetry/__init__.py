"""Telemetry: traces, measurements and logs of the service, by OpenTelemetry.

Nothing is sent without an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT` and the like). Only this package imports the SDK.
"""
