"""The settings of tokens and of mail."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.settings import LOCAL_TOKEN_SECRET, Settings
from tests.api.test_settings import GOOD, SAFE
from tests.each import each


@each(
    "setting, said",
    [
        ({"token_secret": LOCAL_TOKEN_SECRET}, "TOKEN_SECRET"),
        ({"token_secret": "x1y2z3" * 5}, "TOKEN_SECRET"),
        ({"token_secret": " " * 32}, "TOKEN_SECRET"),
        ({"token_secret": GOOD}, "TOKEN_SECRET is shorter than 32"),
        ({"smtp_url": None}, "SMTP_URL"),
        ({"smtp_url": "smtp://zoo@mail"}, "SMTP_PASSWORD"),
        ({"smtp_password": GOOD}, "SMTP_PASSWORD"),
        ({"smtp_url": "smtp://zoo:aaaaaa@mail"}, "SMTP_PASSWORD repeats"),
    ],
)
def test_production_refuses_settings_that_are_unsafe_or_lose_mail(setting: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings(**{**SAFE, **setting}).require_usable()


@pytest.mark.parametrize(
    ("url", "password", "login"),
    [
        ("smtp://mail", None, None),
        ("smtp://post@mail", "of the setting", ("post", "of the setting")),
        ("smtps://post%40example:p%40ss%3A@mail", "of the setting", ("post@example", "p@ss:")),
    ],
)
def test_a_password_in_the_mail_servers_url_is_the_password(
    url: str, password: str | None, login: tuple[str, str] | None
) -> None:
    assert Settings(smtp_url=url, smtp_password=password).smtp_login() == login


@each(
    "name, value",
    [
        *(
            ("smtp_url", url)
            for url in (
                "mail",
                "http://mail",
                "smtp://",
                "smtp://a b",
                "smtp://m:x",
                "smtp://u:@m",
                "smtp://u:p:q@m",
                "smtp://m#x",
            )
        ),
        *(
            ("mail_from", address)
            for address in (
                "zoo",
                "zoo@zoo.example\n",
                "Zoo <zoo>",
                "Zoo <zoo@zoo.example",
                "Zoo, Inc. <zoo@zoo.example>",
                "<>",
                "Zoo\r\nBcc: x@y.example <zoo@zoo.example>",
                "a@zoo.example, b@zoo.example",
                "Zoo <a@zoo.example> <b@c.d>",
            )
        ),
        ("access_token_seconds", 0),
        ("access_token_seconds", 10**12),
    ],
)
def test_an_invalid_setting_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


@each(
    "sender",
    ["zoo@localhost", "Zoo <zoo@zoo.example>", '"Zoo, Inc." <zoo@zoo.example>', "Zoo Inc. <z@z.example>", "<z@z.de>"],
)
def test_the_sender_of_mail_may_have_a_name(sender: str) -> None:
    assert Settings(mail_from=sender).mail_from == sender


@pytest.mark.parametrize("url", ["smtp://mail", "smtps://zoo@mail.zoo.example:465/", "smtp://[::1]:25"])
def test_a_mail_server_is_set_by_its_url(url: str) -> None:
    assert Settings(smtp_url=url).smtp_url == url


def test_a_password_of_the_mail_server_is_never_shown() -> None:
    assert "correct" not in repr(Settings(smtp_url="smtp://zoo:correct@mail", smtp_password=GOOD, token_secret=GOOD))
