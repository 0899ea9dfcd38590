"""What runs on a developer's machine: the stack without Docker, on an embedded Postgres; and releases."""
