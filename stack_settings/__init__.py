"""What the api and the tool read alike: the URL of a database, as libpq reads it, for asyncpg; secrets (secret.py); and
which of two releases is older (release.py).

Guarantees: what libpq takes in a URL has the meaning that it has there, or is refused with what to write instead, as
are the parameters that other programs have invented. All that can be known without the server is checked when a URL is
read, its files included. No message has a password in it.

Source of the parameters: PostgreSQL 18's documentation, section "Database Connection Control Functions".
"""

from stack_settings.connect import connect, session_name
from stack_settings.url import DatabaseUrl, read_url

__all__ = ["DatabaseUrl", "connect", "read_url", "session_name"]
