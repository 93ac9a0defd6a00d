"""A local page and an HTTP API over trained runs."""
