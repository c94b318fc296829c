"""The gateway program: webhooks and media sockets in front, workers behind."""
