"""The admin app: personas, voices, numbers, routes and records, behind a REST API and a console."""
