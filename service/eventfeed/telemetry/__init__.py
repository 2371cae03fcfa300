"""Telemetry: traces, measurements and logs of the service, by OpenTelemetry.

Nothing is sent unless an endpoint is set (`OTEL_EXPORTER_OTLP_ENDPOINT` and the like, as the SDK defines them).
The rest of the service calls the verbs of one `Telemetry`; only this package imports OpenTelemetry.
"""
