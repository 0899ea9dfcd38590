"""The proof that whoever is signed in is the user: the password."""

from pydantic import MISSING

from api.crud.accounts.access_tokens import Caller
from api.crud.accounts.sign_ins import count_registration, require_password
from api.database.engine import Transactions
from api.errors import Unprocessable
from api.http.findings import finding
from api.schemas.users import OwnUpdate


class Proof:
    """Asks the user, who is signed in, for their password: whoever has found a token does not have it."""

    def __init__(self, caller: Caller, transactions: Transactions, address: str) -> None:
        self.caller = caller
        self.transactions = transactions
        self.address = address

    async def require(self, password: str) -> None:
        """BadRequest if it is wrong, TooManyRequests after too many tries."""
        await require_password(self.transactions, self.caller.id, password, self.address)

    async def require_for_change(self, changes: OwnUpdate) -> None:
        """The same for the password that `changes` names; Unprocessable without one. Changes are limited as registering
        is, because they, too, say which addresses have an account.
        """
        if changes.current_password is MISSING:
            raise Unprocessable([finding("missing", ["body", "current_password"], "Your current password is needed")])
        async with self.transactions() as session:
            await count_registration(session, self.address)
        await self.require(changes.current_password)
