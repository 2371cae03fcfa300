"""What the service tells of itself: traces, metrics and logs, by OpenTelemetry.

Nothing is sent unless an endpoint is set (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin, as the SDK defines them). The rest
of the service measures with `metrics`, and traces with `tracing`; only this package knows OpenTelemetry.
"""
