"""Signatures of S3 requests: AWS Signature Version 4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
IMPLIED_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Credentials:
    """Keys of S3's; those that STS has given for a while have a session token, too."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Signer:
    """Signs requests that are sent at a time, which is in UTC.

    URLs are signed, and have to be sent, as they are: written by `encoded` and `encoded_query`.
    """

    credentials: Credentials
    region: str
    at: datetime
    service: str = "s3"

    def signed(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """The headers with which to send `body`: `headers`, all of them signed, and the signature."""
        payload = hashlib.sha256(body).hexdigest()
        headers = {"host": _host(url), **headers, "x-amz-content-sha256": payload, "x-amz-date": self._time}
        if self.credentials.session_token:
            headers["x-amz-security-token"] = self.credentials.session_token
        authorization = (
            f"{ALGORITHM} Credential={self.credentials.access_key_id}/{self._scope}"
            f",SignedHeaders={_names(headers)},Signature={self._sign(method, url, headers, payload)}"
        )
        return {**headers, "authorization": authorization}

    def presigned(self, method: str, url: str, headers: Mapping[str, str], seconds: int) -> str:
        """A URL that is valid for so many seconds, for requests with exactly these headers, and any content."""
        headers = {"host": _host(url), **headers}
        query = {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": f"{self.credentials.access_key_id}/{self._scope}",
            "X-Amz-Date": self._time,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": _names(headers),
        }
        if self.credentials.session_token:
            query["X-Amz-Security-Token"] = self.credentials.session_token
        url = f"{url}?{encoded_query(query)}"
        return f"{url}&X-Amz-Signature={self._sign(method, url, headers, UNSIGNED_PAYLOAD)}"

    @property
    def _time(self) -> str:
        return self.at.strftime("%Y%m%dT%H%M%SZ")

    @property
    def _scope(self) -> str:
        return f"{self.at:%Y%m%d}/{self.region}/{self.service}/aws4_request"

    def _sign(self, method: str, url: str, headers: Mapping[str, str], payload: str) -> str:
        key = b"AWS4" + self.credentials.secret_access_key.encode()
        for part in self._scope.split("/"):
            key = _hmac(key, part)
        request = hashlib.sha256(_canonical(method, url, headers, payload).encode()).hexdigest()
        return _hmac(key, f"{ALGORITHM}\n{self._time}\n{self._scope}\n{request}").hex()


def encoded(path: str) -> str:
    """A path as it is signed: all but unreserved characters and slashes as %XX."""
    return quote(path, safe="/~")


def encoded_query(query: Mapping[str, str]) -> str:
    """A query as it is signed, in the order of its names."""
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items()))


def _canonical(method: str, url: str, headers: Mapping[str, str], payload: str) -> str:
    parts = urlsplit(url)
    named = sorted((name.lower(), " ".join(value.split())) for name, value in headers.items())
    lines = "".join(f"{name}:{value}\n" for name, value in named)
    return "\n".join((method, parts.path or "/", parts.query, lines, _names(headers), payload))


def _names(headers: Mapping[str, str]) -> str:
    return ";".join(sorted(name.lower() for name in headers))


def _host(url: str) -> str:
    """The Host header of a request to `url`: without a port that its scheme implies."""
    parts = urlsplit(url)
    return parts.netloc.lower().removesuffix(IMPLIED_PORTS[parts.scheme])


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
