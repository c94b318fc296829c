"""The link between gateway and worker: one WebSocket a call."""
