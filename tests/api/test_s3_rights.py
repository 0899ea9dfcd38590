"""What the buckets are, and what the api's key may do: what deploy/storage/policy.json says, in the words of AWS."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from api.external_services.errors import StorageRefused
from api.external_services.s3 import S3
from api.external_services.s3_buckets import make_buckets
from api.external_services.s3_keys import keys_of
from api.external_services.s3_requests import S3Requests
from local.storage import Storage
from tests.api.storage_proxy import proxying
from tests.conftest import browser, settings_of

PRIVATE, PUBLIC = "zoo-private", "zoo-public"
ANY = set(range(200, 500))


async def requests_of(environment: dict[str, str]) -> AsyncIterator[S3Requests]:
    settings = settings_of(environment)
    assert settings.s3_url
    requests = S3Requests(settings.s3_url, settings.s3_region, keys_of(settings))
    yield requests
    await requests.close()


@pytest.fixture(scope="module")
async def by_the_api(storage: Storage) -> AsyncIterator[S3Requests]:
    async for requests in requests_of(storage.environment()):
        yield requests


@pytest.fixture(scope="module")
async def by_the_admin(storage: Storage) -> AsyncIterator[S3Requests]:
    async for requests in requests_of(storage.admin_environment()):
        yield requests


class TestTheApisKey:
    """tests/api/test_s3.py has what it may do, because the api does it."""

    async def test_may_do_nothing_to_buckets(self, by_the_api: S3Requests) -> None:
        for method, path, query in (
            ("PUT", "/another-bucket", {}),
            *(
                (method, f"/{bucket}", query)
                for bucket in (PRIVATE, PUBLIC)
                for method, query in (
                    ("DELETE", {}),
                    ("GET", {"policy": ""}),
                    ("PUT", {"policy": ""}),
                    ("DELETE", {"policy": ""}),
                    ("PUT", {"cors": ""}),
                    ("DELETE", {"cors": ""}),
                    ("PUT", {"lifecycle": ""}),
                    ("DELETE", {"lifecycle": ""}),
                    ("PUT", {"acl": ""}),
                    ("PUT", {"versioning": ""}),
                )
            ),
            ("PUT", f"/{PRIVATE}/a", {"acl": ""}),
            ("PUT", f"/{PRIVATE}/a", {"tagging": ""}),
        ):
            answer = await by_the_api.send(method, path, ANY, query=query)
            assert answer.status == 403, (method, path, query)

    async def test_may_do_nothing_in_other_buckets(self, by_the_api: S3Requests, by_the_admin: S3Requests) -> None:
        other = f"/{PRIVATE}-{uuid4().hex[:8]}"
        await by_the_admin.send("PUT", other, {200})
        await by_the_admin.send("PUT", f"{other}/a", {200}, body=b"a")

        for method, path in (("GET", other), ("GET", f"{other}/a"), ("PUT", f"{other}/a"), ("DELETE", f"{other}/a")):
            with pytest.raises(StorageRefused, match="403"):
                await by_the_api.send(method, path, {200, 204})

    async def test_may_make_no_keys(self, storage: Storage, by_the_api: S3Requests) -> None:
        signer = await by_the_api.signer()
        async with browser() as client:
            for action in ("CreateUser", "ListUsers", "CreateAccessKey", "PutUserPolicy"):
                body = f"Action={action}&Version=2010-05-08&UserName=zoo_api".encode()
                form = {"content-type": "application/x-www-form-urlencoded"}
                headers = signer.signed("POST", f"{storage.url}/", form, body)
                answer = await client.post(f"{storage.url}/", content=body, headers=headers)
                assert answer.status_code in {400, 403}, (action, answer.text)


class TestBuckets:
    async def test_are_made_and_set_up_again_without_a_change(self, storage: Storage, s3: S3) -> None:
        key = f"{uuid4()}"
        await s3.put_private(key, b"kept", "image/png")

        assert await make_buckets(settings_of(storage.admin_environment())) == []

        assert await s3.head(key) is not None

    async def test_can_have_other_names(self, storage: Storage) -> None:
        names = {"s3_bucket": f"a-{uuid4().hex}", "s3_public_bucket": f"b-{uuid4().hex}"}
        settings = settings_of(storage.admin_environment(), **names)
        assert await make_buckets(settings) == []
        s3 = S3(settings)
        await s3.put_public("a", b"a", "image/png")

        async with browser() as anybody:
            assert (await anybody.get(s3.public_url("a"))).content == b"a"
            assert (await anybody.get(f"{storage.url}/{names['s3_public_bucket']}")).status_code == 403
        await s3.close()

    async def test_uploads_that_nobody_completes_end_by_a_rule(self, by_the_admin: S3Requests) -> None:
        rules = (await by_the_admin.send("GET", f"/{PRIVATE}", {200}, query={"lifecycle": ""})).content.decode()

        assert re.findall(r"<(Prefix|Status|Days)>(.+?)</", rules) == [
            ("Prefix", "incoming/"),
            ("Status", "Enabled"),
            ("Days", "7"),
        ]

    @pytest.mark.parametrize("origin", ["https://app.zoo.example", "http://localhost:3000"])
    async def test_a_page_of_any_origin_can_upload_with_a_url(self, storage: Storage, origin: str) -> None:
        wanted = {
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "content-type,if-none-match",
        }
        async with browser() as page:
            answer = await page.options(f"{storage.url}/{PRIVATE}/incoming/a", headers={"Origin": origin, **wanted})

        assert answer.headers["access-control-allow-origin"] in {"*", origin}
        assert {"content-type", "if-none-match"} <= set(answer.headers["access-control-allow-headers"].split(", "))

    async def test_what_a_storage_does_not_know_is_said(self, storage: Storage) -> None:
        """R2 has no policies, MinIO no CORS of a bucket: both answer 501."""
        async with proxying(storage.url) as proxy:
            # Two buckets that are there, what only AWS knows, and the last of four parts.
            proxy.script.extend(["pass", "pass", "501", "pass", "pass", "pass", "501"])
            missing = await make_buckets(settings_of(storage.admin_environment(), s3_url=proxy.url))

        assert missing == [f"reading by anybody (policy of {PUBLIC})"]

    async def test_one_that_was_made_without_an_answer_is_ready_at_the_next_try(self, storage: Storage) -> None:
        names = {"s3_bucket": f"a-{uuid4().hex}", "s3_public_bucket": f"b-{uuid4().hex}"}
        async with proxying(storage.url) as proxy:
            proxy.script.extend(["pass", "lose"])
            assert await make_buckets(settings_of(storage.admin_environment(), s3_url=proxy.url, **names)) == []

    async def test_those_of_others_are_refused(self, storage: Storage) -> None:
        async with proxying(storage.url) as proxy:
            proxy.always = "403"
            with pytest.raises(StorageRefused, match="403"):
                await make_buckets(settings_of(storage.admin_environment(), s3_url=proxy.url))

    async def test_elsewhere_than_in_the_usual_region_the_place_is_named(self, storage: Storage) -> None:
        names = {"s3_bucket": f"a-{uuid4().hex}", "s3_public_bucket": f"b-{uuid4().hex}"}
        assert await make_buckets(settings_of(storage.admin_environment(), s3_region="eu-central-1", **names)) == []
