"""A small HTTP server for what a running proxy shows of itself: its control, metrics, dashboard."""
