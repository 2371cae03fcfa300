"""Publishing over HTTP: CloudEvents bindings, routes and receipts."""
