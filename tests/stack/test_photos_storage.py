"""The storage of the Compose stack, as the api and people outside of it use it."""

import json
import subprocess
import time
from pathlib import Path

import httpx

from tests.conftest import ROOT
from tests.docs.documents import run_requests
from tests.stack.stack import NO_STORAGE, Stack, docker

IN_THE_API = """
import asyncio, sys
from api.external_services.s3 import S3
from api.settings import load_settings

async def main():
    s3 = S3(load_settings())
    upload = await s3.presigned_put(f"incoming/{sys.argv[1]}", size=5, content_type="image/png", expires=60)
    await s3.put_public(f"photos/{sys.argv[1]}", b"hello", "image/webp")
    print(upload.url, s3.public_url(f"photos/{sys.argv[1]}"))
    await s3.close()

asyncio.run(main())
"""


def read(url: str) -> httpx.Response | None:
    """The answer, if there is one."""
    try:
        return httpx.get(url)
    except httpx.TransportError:
        return None


def curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *arguments]
    return subprocess.check_output(command, text=True)


def test_people_upload_by_curl_and_see_what_is_public_also_after_a_restart(stack: Stack, tmp_path: Path) -> None:
    photo = tmp_path / "photo"
    photo.write_text("hello")
    headers = ["--header", "Content-Type: image/png", "--header", "If-None-Match: *"]
    upload, public = stack.exec("api", "python3", "-c", IN_THE_API, "a").stdout.split()

    assert curl("--upload-file", str(photo), *headers, upload) == "200"
    assert curl("--upload-file", str(photo), *headers, upload) == "412"
    assert httpx.get(public).text == "hello"
    assert httpx.get(upload.partition("?")[0]).status_code == 403

    docker("kill", stack.container("storage"))  # as a crash is
    assert stack.get("/health/ready").status_code == 200
    docker("start", stack.container("storage"))
    deadline = time.monotonic() + 60  # it answers some moments before it has found its volumes
    while (answer := read(public)) is None or answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.text == "hello"
    assert curl("--upload-file", str(photo), *headers, upload) == "412"


def test_a_keeper_uploads_a_photo_as_the_documents_show(stack_at_work: Stack) -> None:
    stack_at_work.compose("run", "--rm", "--no-TTY", "--no-deps", "api", "python", "-m", "api", "seed")
    photos = (ROOT / "docs" / "photos.md").read_text()
    printed = run_requests(photos, stack_at_work.address, ROOT, {"TOKEN": stack_at_work.token})
    assert httpx.get(json.loads(printed)["small"]).headers["Content-Type"] == "image/webp"


def test_without_a_storage_all_else_works_and_the_log_says_so(stack_to_change: Stack) -> None:
    stack = stack_to_change
    with stack.changed(NO_STORAGE, S3_UPLOAD_URL=""):
        docker("rm", "--force", stack.container("storage"), stack.container("buckets"))
        stack.compose("up", "--detach", "--wait", "--remove-orphans")
        assert set(stack.compose("ps", "--all", "--services").stdout.split()) == {"db", "migrator", "api"}
        assert stack.get("/health/ready").status_code == 200
        assert stack.get("/animals").status_code == 200
        assert "no storage: S3_URL is not set" in stack.compose("logs", "api").stdout


def test_another_s3_gets_its_buckets_from_the_apis_image(stack: Stack) -> None:
    """This stack's own stands in for it: it has none of these buckets."""
    by_the_admin = {"S3_ACCESS_KEY_ID": "zoo_admin", "S3_SECRET_ACCESS_KEY": "zoo_admin"}
    buckets = {"S3_BUCKET": "one", "S3_PUBLIC_BUCKET": "two"}
    with stack.changed(NO_STORAGE, S3_URL="http://storage:8333", **buckets, **by_the_admin):
        run = ["run", "--rm", "--no-TTY", "--no-deps", "-e", "S3_ACCESS_KEY_ID", "-e", "S3_SECRET_ACCESS_KEY", "api"]
        assert stack.compose(*run, "python", "-m", "api", "buckets").stdout == "The buckets are ready\n"
    stack.was_changed = False  # that was a container of its own
