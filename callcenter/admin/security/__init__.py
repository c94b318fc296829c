"""Who may do what: API keys, console sessions, roles and rate limits."""
