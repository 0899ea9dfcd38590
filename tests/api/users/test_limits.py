"""The limits on accounts are those that the documents promise."""

from api.crud import throttles
from api.crud.accounts import access_tokens, passwords, sign_ins
from api.schemas import users
from tests.api.test_limits import MINUTE, said
from tests.each import each


@each(
    "sentence, in_use, limits",
    [
        ("have 12 to 128 characters", [users.MIN_PASSWORD_LENGTH, users.MAX_PASSWORD_LENGTH], [12, 128]),
        ("while 40 others wait, or after waiting for 20 seconds, the answer is 503",
         [passwords.MAX_WAITING, passwords.PATIENCE_SECONDS], [40, 20]),
        ("A user has 100 at a time: with one more, the oldest ends", [access_tokens.MAX_TOKENS], [100]),
        ("a hundred within 15 minutes are registered or changed",
         [sign_ins.MAX_REGISTRATIONS_FROM_AN_ADDRESS, throttles.WINDOW.total_seconds()], [100, 15 * MINUTE]),
        ("after 10 failures within 15 minutes on an account from one address, 30 on an account, or 50 from an address",
         [sign_ins.MAX_FAILURES_ON_AN_ACCOUNT_AT_AN_ADDRESS, throttles.WINDOW.total_seconds(),
          sign_ins.MAX_FAILURES_ON_AN_ACCOUNT, sign_ins.MAX_FAILURES_OF_AN_ADDRESS], [10, 15 * MINUTE, 30, 50]),
    ],
)  # fmt: skip
def test_a_limit_is_the_one_in_the_documents(sentence: str, in_use: list[float], limits: list[float]) -> None:
    assert sentence in said("users")
    assert in_use == limits
