"""The broker: which worker takes a call, written down in Redis."""
