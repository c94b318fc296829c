"""The worker: one engine, one tick thread, one link server."""
