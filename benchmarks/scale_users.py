"""Users, as they might be after years: four who are signed in where a request needs that, and visitors."""

import asyncpg

from api.crud.accounts.access_tokens import hash_token

PER_VISITOR = 100
"""Animals for each visitor."""
VISITOR, KEEPER, ADMIN, REGULAR = "visitor", "keeper", "admin", "regular"
"""Who is signed in."""

_NAMED = f"""
INSERT INTO users (id, email, hashed_password, type)
SELECT uuidv7(interval '-6 years'), name || '@zoo.example', '',
    (CASE WHEN name IN ('{KEEPER}', '{ADMIN}') THEN name ELSE 'visitor' END)::user_type
FROM unnest(ARRAY['{VISITOR}', '{KEEPER}', '{ADMIN}', '{REGULAR}']) AS name
"""
_VISITORS = """
INSERT INTO users (id, email, hashed_password) SELECT uuidv7(interval '-5 years'), 'v' || n || '@zoo.example', ''
FROM generate_series({first}, {last}) AS n
"""
_TOKENS = "INSERT INTO access_tokens (token, user_id) SELECT id, id FROM users ON CONFLICT DO NOTHING"
_OF_NAMED = "INSERT INTO access_tokens (token, user_id) SELECT $1, id FROM users WHERE email = $2 || '@zoo.example'"


def visitors(size: int) -> int:
    """How many visitors a zoo with so many animals has."""
    return max(1, size // PER_VISITOR)


async def grow(connection: asyncpg.Connection, before: int, size: int) -> None:
    """Add those of a zoo that grows from `before` animals to `size`."""
    if not before:
        await connection.execute(_NAMED)
        for name in (VISITOR, KEEPER, ADMIN, REGULAR):
            await connection.execute(_OF_NAMED, hash_token(name), name)
    await connection.execute(_VISITORS.format(first=before // PER_VISITOR + 1, last=visitors(size)))
    await connection.execute(_TOKENS)
