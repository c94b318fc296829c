"""The REST API under /v1; each module serves one kind of thing."""
