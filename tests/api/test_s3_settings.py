"""Settings of the storage: all that it needs, or none."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from api.settings import Settings
from tests.each import each

STRONG = "b3VyIHNlY3JldCBpcyBzdHJvbmcgZW5vdWdo"
COMPLETE: dict[str, Any] = {
    "s3_url": "https://s3.example",
    "s3_bucket": "zoo-private",
    "s3_public_bucket": "zoo-public",
    "s3_access_key_id": "key",
    "s3_secret_access_key": STRONG,
}
ROLE = {"aws_role_arn": "arn:aws:iam::1:role/zoo", "aws_web_identity_token_file": "/var/run/token"}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in COMPLETE.items() if name not in names}


@each(
    "settings",
    [
        {},
        COMPLETE,
        {**without("s3_access_key_id", "s3_secret_access_key"), **ROLE},
        ROLE,  # a platform sets it for all that runs there
    ],
)
def test_all_or_none_will_do(settings: dict[str, Any]) -> None:
    Settings(**settings).require_usable()


@each(
    "settings, said",
    [
        (
            without("s3_url"),
            "S3_URL is not set, but S3_BUCKET, S3_PUBLIC_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY",
        ),
        ({"s3_upload_url": "https://s3.example"}, "S3_URL is not set, but S3_UPLOAD_URL"),
        (without("s3_bucket"), "S3_BUCKET: not set"),
        (without("s3_bucket", "s3_public_bucket"), "S3_BUCKET and S3_PUBLIC_BUCKET: not set"),
        (without("s3_access_key_id"), "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY: set both, or none"),
        (without("s3_secret_access_key"), "S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY: set both, or none"),
        (without("s3_access_key_id", "s3_secret_access_key"), "are not set, though S3_URL is; nor is a web identity"),
        ({**without("s3_access_key_id", "s3_secret_access_key"), "aws_role_arn": "a"}, "nor is a web identity"),
        ({**COMPLETE, "s3_public_bucket": "zoo-private"}, "are the same: what is uploaded would be public"),
    ],
)
def test_a_part_of_them_is_refused_and_what_is_missing_is_said(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Settings(**settings).require_usable()


@each("secret", ["zoo_api", "zoo_admin", "secretsecretsecretsecret", "qwertyuiopasdfghjkl"])
def test_a_key_that_can_be_guessed_is_refused_in_production(secret: str) -> None:
    settings = {**COMPLETE, "s3_secret_access_key": secret}
    Settings(**settings).require_storage()

    with pytest.raises(ValueError, match=r"^S3_SECRET_ACCESS_KEY .*: set another before running in production"):
        Settings(environment="production", **settings).require_storage()


def test_no_secret_is_shown() -> None:
    assert STRONG not in repr(Settings(**COMPLETE))


@each(
    "name, url",
    [
        *((name, "s3.example") for name in ("s3_url", "s3_upload_url", "s3_public_url", "aws_endpoint_url_sts")),
        *(("s3_url", url) for url in ("ftp://s3.example", "https://key:secret@s3.example", "https://s3.example?a=b")),
    ],
)
def test_a_url_that_is_none_is_refused(name: str, url: str) -> None:
    with pytest.raises(ValidationError, match="write http://HOST:PORT"):
        Settings(**{**COMPLETE, name: url})


@each("name", ["", "ab", "Zoo", "zoo_private", "-zoo", "zoo-", "zoo/private", "a" * 64, "zoo\n"])
def test_a_bucket_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="3 to 63"):
        Settings(**{**COMPLETE, "s3_bucket": name})
