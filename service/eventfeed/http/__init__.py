"""HTTP: routes, requests and responses, and the response for each failure."""
