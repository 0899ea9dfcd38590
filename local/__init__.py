"""The stack without Docker: an embedded Postgres, and commands that use it."""
