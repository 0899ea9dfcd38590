"""The limits on photos in use are those that docs/photos.md promises."""

from datetime import timedelta

from api.crud.photos import old_rows, quotas, sweep, uploads, work
from api.schemas import photos
from tests.api.test_limits import said
from tests.each import each


@each(
    "sentence, in_use, limits",
    [
        ("An animal has up to 20 photos", [photos.MAX_PHOTOS], [20]),
        ("of that type, once, within an hour", [uploads.UPLOAD_SECONDS], [3_600]),
        ("up to 25 MiB and 50 million pixels", [photos.MAX_SIZE], [25 * 2**20]),
        ("has 20 uploads that are not completed, and 10 GB of photos", [quotas.MAX_UPLOADS, quotas.MAX_BYTES],
         [20, 10_000_000_000]),
        ("An upload that is not completed ends after a day, a failed one after 30 days",
         [old_rows.UPLOADS_KEPT_FOR, old_rows.FAILED_KEPT_FOR], [timedelta(days=1), timedelta(days=30)]),
        ("when it is killed is taken over after five minutes", [work.LEASE], [timedelta(minutes=5)]),
        ("Workers look for photos when a request of theirs has some, and every five seconds", [work.LOOK_EVERY_SECONDS],
         [5]),
        ("if it refuses, and is asked again after five minutes", [work.LONG_PAUSE], [timedelta(minutes=5)]),
        ("It reports objects of no photo, up to 100,000 at a time", [sweep.MAX_REPORT], [100_000]),
        ("photos wait, and are tried again every ten seconds", [work.PAUSE], [timedelta(seconds=10)]),
        ("or the decoder dies, three times, after which the photo has `failed`", [work.TRIES], [3]),
    ],
)  # fmt: skip
def test_a_limit_is_the_one_in_the_documents(sentence: str, in_use: list[object], limits: list[object]) -> None:
    assert sentence in said("photos")
    assert in_use == limits


def test_a_photo_is_given_up_before_another_worker_takes_it_over() -> None:
    assert timedelta(seconds=work.WORK_SECONDS) < work.LEASE
