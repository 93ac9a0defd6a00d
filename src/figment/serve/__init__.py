"""A local page and an HTTP API over trained runs.

One process speaks HTTP and decides; one holds the models and draws. Between them pass JSON and raw bytes (`wire`).
"""
