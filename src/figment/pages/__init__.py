"""Self-contained HTML reports and their templates."""
