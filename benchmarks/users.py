"""The keeper who is signed in where a request needs that, and what only keepers may read."""

from api.crud.accounts.access_tokens import hash_token

KEEPER = "a keeper's token"
ADD_KEEPER = (
    "INSERT INTO users (id, email, hashed_password, type) VALUES (uuidv7(), 'keeper@zoo.example', '', 'keeper')",
    f"INSERT INTO access_tokens (token, user_id) SELECT '{hash_token(KEEPER)}', id FROM users",
    "INSERT INTO staff (name) VALUES ('Ngozi')",
)
