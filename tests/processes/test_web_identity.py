"""Keys for a token: the api asks the STS of SeaweedFS, which asks the provider of the token whether it is right."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from api.external_services import s3_keys
from api.external_services.errors import StorageRefused, StorageUnavailable
from api.external_services.s3 import S3
from api.external_services.s3_buckets import make_buckets
from api.external_services.sigv4 import Credentials
from local.storage import Storage, serve
from tests.api.storage_proxy import proxying
from tests.conftest import ROOT, settings_of
from tests.ports import find_free_port
from tests.python import HANGS

KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
ROLE = "arn:aws:iam::role/zoo-api"


@asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """An OpenID provider, of which STS needs only the public keys; its address."""
    public = RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "a", "use": "sig", "alg": "RS256"}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"keys": [public]})
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    port = find_free_port()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}"


def configuration(issuer: str) -> dict[str, Any]:
    """A role with the api's policy, for those whom the provider knows."""
    policy = (ROOT / "deploy/storage/policy.json").read_text()
    for name, bucket in (("S3_PUBLIC_BUCKET", "zoo-public"), ("S3_BUCKET", "zoo-private")):
        policy = policy.replace(name, bucket)
    document = json.loads(policy)
    document["Statement"].append({"Effect": "Allow", "Action": ["sts:ValidateSession"], "Resource": ["*"]})
    trust = {"Effect": "Allow", "Principal": {"Federated": "provider"}, "Action": ["sts:AssumeRoleWithWebIdentity"]}
    oidc = {"issuer": issuer, "clientId": "zoo", "jwksUri": f"{issuer}/keys"}
    return {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "seaweedfs-sts",
            "signingKey": "dGhlIHNpZ25pbmcga2V5IG9mIGEgdGVzdCwgMzIgYnl0ZXM=",
        },
        "providers": [{"name": "provider", "type": "oidc", "enabled": True, "config": oidc}],
        "policy": {"defaultEffect": "Deny"},
        "policies": [{"name": "api", "document": document}],
        "roles": [
            {
                "roleName": "zoo-api",
                "roleArn": ROLE,
                "trustPolicy": {"Version": "2012-10-17", "Statement": [trust]},
                "attachedPolicies": ["api"],
            }
        ],
    }


def token(issuer: str, **claims: object) -> str:
    now = int(time.time())
    usual = {"iss": issuer, "aud": "zoo", "sub": "api", "iat": now, "exp": now + 3600}
    return jwt.encode(usual | claims, KEY, "RS256", headers={"kid": "a"})


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[str]:
    async with provider() as address:
        yield address


@pytest.fixture(scope="module")
async def sts(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
    """A storage that has an STS."""
    folder = tmp_path_factory.mktemp("sts")
    (folder / "iam.json").write_text(json.dumps(configuration(issuer)))
    with serve(folder / "storage", {"s3.iam.config": str(folder / "iam.json")}) as started:
        storage = await asyncio.to_thread(started.wait)
        await make_buckets(settings_of(storage.admin_environment()))
        yield storage


@pytest.fixture
async def by_token(sts: Storage, issuer: str, tmp_path: Path) -> AsyncIterator[tuple[S3, Path]]:
    """The api's client with a role, and the file that its token is in."""
    file = tmp_path / "token"
    file.write_text(f"{token(issuer)}\n")
    keys = {"s3_access_key_id": None, "s3_secret_access_key": None}
    role = {"aws_role_arn": ROLE, "aws_web_identity_token_file": file, "aws_endpoint_url_sts": sts.url}
    s3 = S3(settings_of(sts.environment(), **keys, **role))
    yield s3, file
    await s3.close()


async def test_a_token_is_a_key_with_the_roles_rights(by_token: tuple[S3, Path]) -> None:
    s3, _ = by_token

    upload = await s3.presigned_put("incoming/by-token", size=5, content_type="image/png", expires=60)
    async with httpx.AsyncClient(timeout=HANGS) as anybody:
        answer = await anybody.put(upload.url, content=b"hello", headers=upload.headers)

    assert answer.status_code == 200, answer.text
    head = await s3.head("incoming/by-token")
    assert head is not None
    assert await s3.get("incoming/by-token", head.etag, size=5) == b"hello"
    await s3.put_public("by-token", b"hello", "image/png")
    assert [found.key async for found in s3.public_objects("by-token")] == ["by-token"]
    await s3.delete_public("by-token")


@pytest.mark.parametrize("claims", [{"exp": 1}, {"aud": "another"}, {"iss": "http://another.example"}])
async def test_another_token_is_none(by_token: tuple[S3, Path], issuer: str, claims: dict[str, object]) -> None:
    s3, file = by_token
    file.write_text(token(issuer, **claims))

    with pytest.raises(StorageRefused, match=r"STS answers 4\d\d \(\w+\): no keys for the storage"):
        await s3.head("a")


async def test_the_file_is_read_again_and_keys_are_renewed_in_time(
    by_token: tuple[S3, Path], issuer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, file = by_token
    file.unlink()
    with pytest.raises(StorageRefused, match="token for the storage can't be read: No such file or directory"):
        await s3.head("a")
    file.write_text(token(issuer))
    first = await current(s3)
    assert await current(s3) == first

    monkeypatch.setattr(s3_keys, "RENEW_BEFORE", timedelta(hours=2))

    assert await current(s3) != first


async def test_keys_that_can_not_be_renewed_are_used_as_long_as_they_are_valid(
    by_token: tuple[S3, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, file = by_token
    first = await current(s3)
    file.unlink()
    monkeypatch.setattr(s3_keys, "RENEW_BEFORE", timedelta(hours=2))
    assert await current(s3) == first

    monkeypatch.setattr(s3_keys, "LEAST", timedelta(hours=2))

    with pytest.raises(StorageRefused, match="can't be read"):
        await s3.head("a")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("drop", "can't be reached"),
        ("503", "answers 503"),
        ("429", "answers 429"),
        ("hold", "does not answer in time"),
        ("cut", "can't be reached"),
        ("403", "STS answers 403: no keys"),
        ("garbage", "STS answers 200: no keys"),
    ],
)
async def test_an_sts_that_fails_is_said(sts: Storage, issuer: str, tmp_path: Path, fault: str, said: str) -> None:
    (tmp_path / "token").write_text(token(issuer))
    async with proxying(sts.url) as proxy:
        proxy.always = fault
        keys = s3_keys.WebIdentity(proxy.url, ROLE, tmp_path / "token")
        with pytest.raises((StorageUnavailable, StorageRefused), match=said):
            await keys.current()
        await keys.close()


async def current(s3: S3) -> Credentials:
    return (await s3._requests.signer()).credentials  # noqa: SLF001 - what it signs with
