"""Whose keys sign requests to S3: fixed ones, or those that STS gives to a workload for a token of its platform's."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import httpx
import structlog

from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.http import MAX_SECONDS, NOT_FOR_GOOD, TIMEOUT, tls
from api.external_services.sigv4 import Credentials
from api.settings import Settings

LIFETIME = timedelta(hours=1)  # each role allows it
RENEW_BEFORE = timedelta(minutes=30)  # a URL is not valid for longer than the keys that have signed it
LEAST = timedelta(minutes=1)
STS = "The service that gives keys for the storage (STS)"
MAX_ANSWER = 64 * 2**10  # bytes

log = structlog.get_logger(__name__)


class Keys(Protocol):
    """Keys that are valid now."""

    async def current(self) -> Credentials:
        """The keys. StorageUnavailable or StorageRefused if there are none."""

    async def close(self) -> None:
        """Close connections."""


class FixedKeys:
    """Keys from the settings."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def current(self) -> Credentials:
        return self._credentials

    async def close(self) -> None:
        """There is none."""


class WebIdentity:
    """Keys from STS's AssumeRoleWithWebIdentity, renewed in time; the file of the token is read for each anew.

    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    """

    def __init__(self, url: str, role: str, token_file: Path) -> None:
        self._url = url
        self._role = role
        self._token_file = token_file
        self._client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=tls(url))
        self._keys: Credentials | None = None
        self._expire = datetime.min.replace(tzinfo=UTC)
        self._renewing = asyncio.Lock()

    async def close(self) -> None:
        await self._client.aclose()

    async def current(self) -> Credentials:
        async with self._renewing:
            if self._keys is None or self._expire - datetime.now(UTC) < RENEW_BEFORE:
                try:
                    self._keys, self._expire = await self._assume()
                except (StorageUnavailable, StorageRefused) as error:
                    if self._keys is None or self._expire - datetime.now(UTC) < LEAST:
                        raise
                    log.warning("keys of the storage not renewed", reason=str(error), valid_until=str(self._expire))
            return self._keys

    async def _assume(self) -> tuple[Credentials, datetime]:
        try:
            token = (await asyncio.to_thread(self._token_file.read_text)).strip()
        except OSError as error:
            raise StorageRefused(f"The token for the storage can't be read: {error.strerror}") from error
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self._role,
            "RoleSessionName": "zoo-api",
            "DurationSeconds": str(int(LIFETIME.total_seconds())),
            "WebIdentityToken": token,
        }
        try:
            async with asyncio.timeout(MAX_SECONDS):
                response = await self._client.post(self._url, data=form)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise StorageUnavailable(f"{STS} does not answer in time") from error
        except httpx.HTTPError as error:
            raise StorageUnavailable(f"{STS} can't be reached") from error
        if response.is_server_error or response.status_code in NOT_FOR_GOOD:
            raise StorageUnavailable(f"{STS} answers {response.status_code}")
        found = {
            name: value
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
            for value in re.findall(rf"<{name}>([^<]{{1,8192}})</{name}>", response.text[:MAX_ANSWER])
        }
        try:
            keys = Credentials(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
            expire = datetime.fromisoformat(found["Expiration"])
        except (KeyError, ValueError) as error:
            code = re.search(r"<Code>(\w{1,64})</Code>", response.text[:MAX_ANSWER])
            reason = f" ({code[1]})" if code else ""
            raise StorageRefused(f"STS answers {response.status_code}{reason}: no keys for the storage") from error
        return keys, expire


def keys_of(settings: Settings) -> Keys:
    """The keys of the settings, which Settings.require_usable() has looked at."""
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        return FixedKeys(Credentials(settings.s3_access_key_id, settings.s3_secret_access_key.get_secret_value()))
    assert settings.aws_role_arn
    assert settings.aws_web_identity_token_file
    url = settings.aws_endpoint_url_sts or f"https://sts.{settings.s3_region}.amazonaws.com"
    return WebIdentity(url, settings.aws_role_arn, settings.aws_web_identity_token_file)
