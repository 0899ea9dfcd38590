"""What gets old of users: their tokens, and the addresses of those who do not return, which are personal data."""

from datetime import timedelta

from api.crud.accounts.sign_ins import KNOWN_FOR
from api.crud.old_rows import OldRows, remove
from api.models.users import AccessToken, KnownAddress
from api.settings import Settings

_TOKENS = remove(AccessToken, AccessToken.created_at)
_ADDRESSES = remove(KnownAddress, KnownAddress.last_used_at)


def old_rows(settings: Settings) -> list[OldRows]:
    """The tokens that have expired, and the addresses."""
    return [OldRows(_TOKENS, timedelta(seconds=settings.access_token_seconds)), OldRows(_ADDRESSES, KNOWN_FOR)]
