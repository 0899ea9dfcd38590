"""Tokens: by them, the api tells clients at one address apart."""


def bearer(token: str) -> dict[str, str]:
    """The header of a client with this token."""
    return {"Authorization": f"Bearer {token}"}
