"""What tests of photos share."""

import pytest

from api.crud.photos import work
from api.decoder.run import Decoded, decode

decoded: dict[bytes, Decoded] = {}


async def decode_once(photo: bytes, lock: int) -> Decoded:
    """What the decoder answers; of a photo that it has decoded before, the same, without another process."""
    if photo not in decoded:
        decoded[photo] = await decode(photo, lock)
    return decoded[photo]


@pytest.fixture(autouse=True)
def one_process_for_each_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The decoder's process takes longer than the rest of most tests, and nearly all of them have the same photo."""
    monkeypatch.setattr(work, "decode", decode_once)
