"""Routes for operators and developers: health, the OpenAPI document and the gateway check."""
