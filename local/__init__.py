"""The stack without Docker: an embedded Postgres, and the commands that run on it."""
