"""What gets old of users: their tokens, and the addresses of those who do not return, which are personal data."""

from datetime import timedelta

from api.crud.accounts.sign_ins import KNOWN_FOR
from api.crud.old_rows import OldRows, remove
from api.models.users import AccessToken, KnownAddress

_TOKENS = remove(AccessToken, AccessToken.created_at)
_ADDRESSES = remove(KnownAddress, KnownAddress.last_used_at)


def old_rows(token_lifetime: timedelta) -> list[OldRows]:
    """The tokens that are older than `token_lifetime`, and the addresses."""
    return [OldRows(_TOKENS, token_lifetime), OldRows(_ADDRESSES, KNOWN_FOR)]
