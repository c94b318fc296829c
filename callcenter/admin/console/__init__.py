"""The console: one page of HTML and plain ES modules that speak the API; no build step."""
