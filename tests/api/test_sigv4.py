"""AWS's own examples: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and the like."""

from datetime import UTC, datetime

import pytest

from api.external_services.sigv4 import Credentials, Signer, encoded, encoded_query

EXAMPLES = Signer(
    Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "us-east-1",
    datetime(2013, 5, 24, tzinfo=UTC),
)
HOST = "https://examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"Range": "bytes=0-9"},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/" + encoded("test$file.text"),
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/?" + encoded_query({"lifecycle": ""}),
            {},
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/?" + encoded_query({"prefix": "J", "max-keys": "2"}),
            {},
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_requests_are_signed_as_aws_signs_them(
    method: str, url: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    signed = EXAMPLES.signed(method, HOST + url, headers, body)

    assert signed["authorization"].endswith(f",Signature={signature}")


def test_urls_are_signed_as_aws_signs_them() -> None:
    url = EXAMPLES.presigned("GET", f"{HOST}/test.txt", {}, 86_400)

    assert url.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
