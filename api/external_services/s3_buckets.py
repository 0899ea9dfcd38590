"""The buckets of the api, and that of backups: made, and set up, by a key that may do so. The api's own may not."""

import hashlib
import json
from base64 import b64encode
from typing import Any

from api.external_services.s3_keys import keys_of
from api.external_services.s3_requests import S3Requests
from api.settings import Settings

INCOMING = "incoming/"
"""Where uploads wait, in the private bucket."""
INCOMING_DAYS = 7

# An upload's URL is the right to it, so that its origin proves nothing more.
CORS = (
    "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>{method}</AllowedMethod>"
    "<AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3600</MaxAgeSeconds>"
    "</CORSRule></CORSConfiguration>"
)
LIFECYCLE = (
    f"<LifecycleConfiguration><Rule><ID>incoming</ID><Filter><Prefix>{INCOMING}</Prefix></Filter>"
    f"<Status>Enabled</Status><Expiration><Days>{INCOMING_DAYS}</Days></Expiration></Rule></LifecycleConfiguration>"
)
BACKUPS_LIFECYCLE = (
    "<LifecycleConfiguration><Rule><ID>uploads</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
    "</Rule></LifecycleConfiguration>"
)
ALLOW_POLICY = (
    "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>"
    "<BlockPublicPolicy>false</BlockPublicPolicy><RestrictPublicBuckets>false</RestrictPublicBuckets>"
    "</PublicAccessBlockConfiguration>"
)
PLACE = "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
NO_CONSTRAINT = "us-east-1"  # where a bucket is made if no place is named; AWS refuses the name itself
DONE = {200, 204}
EXISTS = 409
UNKNOWN = {405, 501}


async def make_buckets(settings: Settings) -> list[str]:
    """Make the buckets if they are missing, and set them up; returns what the storage does not know how to do.

    StorageUnavailable or StorageRefused if it fails.
    """
    assert settings.s3_url  # Settings.require_usable() has looked at the others
    assert settings.s3_bucket
    assert settings.s3_public_bucket
    private, public = settings.s3_bucket, settings.s3_public_bucket
    requests = S3Requests(settings.s3_url, settings.s3_region, keys_of(settings))
    try:
        for bucket in filter(None, (private, public, settings.s3_backup_bucket)):
            await _make(requests, bucket, settings.s3_region)
        # AWS refuses the policy below unless it is told that the bucket may have one. Others know no such thing, and
        # may take it for a second request to make the bucket.
        await _set_up(requests, public, "publicAccessBlock", ALLOW_POLICY, UNKNOWN | {400, 403, 404, 409})
        parts = {
            f"uploads from browsers (CORS of {private})": (private, "cors", CORS.format(method="PUT")),
            f"the end of uploads that nobody completes (lifecycle of {private})": (private, "lifecycle", LIFECYCLE),
            f"pictures in other pages' scripts (CORS of {public})": (public, "cors", CORS.format(method="GET")),
            f"reading by anybody (policy of {public})": (public, "policy", json.dumps(_readable(public))),
        }
        if (backups := settings.s3_backup_bucket) and not await _has_lifecycle(requests, backups):
            what = f"the end of backups that were cut off on their way (lifecycle of {backups})"
            parts[what] = backups, "lifecycle", BACKUPS_LIFECYCLE
        return [what for what, part in parts.items() if not await _set_up(requests, *part)]
    finally:
        await requests.close()


async def _make(requests: S3Requests, bucket: str, region: str) -> None:
    answer = await requests.send("HEAD", f"/{bucket}", {200, 404})
    if answer.status == 404:  # noqa: PLR2004 - Not Found
        where = "" if region == NO_CONSTRAINT else PLACE.format(region=region)
        made = await requests.send("PUT", f"/{bucket}", DONE | {EXISTS}, body=where.encode())
        if made.status == EXISTS:  # by now: by an earlier try, or by another who runs this
            await requests.send("HEAD", f"/{bucket}", DONE)


async def _set_up(requests: S3Requests, bucket: str, part: str, body: str, unknown: set[int] = UNKNOWN) -> bool:
    """Set one part of a bucket's configuration; False if the storage has no such thing."""
    content = body.encode()
    headers = {"content-md5": b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()}
    answer = await requests.send("PUT", f"/{bucket}", DONE | unknown, query={part: ""}, headers=headers, body=content)
    return answer.status in DONE


async def _has_lifecycle(requests: S3Requests, bucket: str) -> bool:
    """Whether the bucket has rules, such as one that deletes old backups: what is set up later would replace them."""
    answer = await requests.send("GET", f"/{bucket}", {200, 404} | UNKNOWN, query={"lifecycle": ""})
    return answer.status == 200  # noqa: PLR2004 - OK


def _readable(bucket: str) -> dict[str, Any]:
    """The policy with which anybody can read the objects of a bucket, and nobody can list them."""
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
