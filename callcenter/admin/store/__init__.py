"""What the admin app remembers: SQLite by default, PostgreSQL for more than one process."""
