"""The decoder: whatever it gets, it answers with renditions or a reason, and nothing else suffers."""

import ast
import asyncio
import io
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image, ImageCms

from api.decoder import run
from api.decoder.run import SIDES, Decoded, DecoderDied, Undecodable, decode, only_decoder
from tests.api.photos.photographing import photo
from tests.rounds import rounds

WHOLE = run.CHILD
ORIENTATION, PLACE = 0x0112, b"GPS 51.5N 0.1W"


@pytest.fixture
def lock() -> Iterator[int]:
    """Nobody else's: tests in parallel need not wait for each other."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def shown(rendition: bytes) -> Image.Image:
    return Image.open(io.BytesIO(rendition)).convert("RGB")


def is_close(found: Any, expected: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 16 for one, other in zip(found, expected, strict=True))


def png(width: int, height: int, rows: bytes, colours: int = 0) -> bytes:
    """A PNG that says it has this size, whatever it has; its pixels are grey (0) or of three colours (2)."""
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    made = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_it_makes_two_sizes_and_nothing_larger(kind: str, lock: int) -> None:
    decoded = await decode(photo(kind, (1500, 300)), lock)
    assert (decoded.width, decoded.height) == (1500, 300)
    assert [shown(rendition).size for rendition in decoded.renditions] == [(320, 64), (1280, 256)]
    small = await decode(photo(kind, (100, 50)), lock)
    assert [shown(rendition).size for rendition in small.renditions] == [(100, 50)] * 2


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "I;16"])
async def test_all_kinds_of_pixels_are_shown(mode: str, lock: int) -> None:
    grey = Image.new("L", (40, 40), 255)
    grey.paste(0, (20, 0, 40, 40))
    if mode == "I;16":
        image = Image.frombytes("I;16", (40, 40), b"".join(struct.pack("<H", 257 * v) for v in grey.tobytes()))
    else:
        image = grey.convert("RGBA" if mode == "PA" else "RGB").convert("P" if mode == "PA" else mode)
    seen = shown((await decode(written(image, "JPEG" if mode == "CMYK" else "PNG"), lock)).renditions[0])
    assert is_close(seen.getpixel((5, 20)), (255, 255, 255))
    assert is_close(seen.getpixel((35, 20)), (0, 0, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_it_is_upright_and_says_nothing_of_its_place(orientation: int, lock: int) -> None:
    upright = Image.new("RGB", (80, 40), "white")
    upright.paste("red", (0, 0, 20, 20))  # at the top left
    back = {2: 0, 3: 1, 4: 5, 5: 2, 6: 4, 7: 3, 8: 6}  # what turns it as a camera that is held so sees it
    turns = {0: 0, 1: 3, 5: 1, 2: 5, 4: 2, 3: 6, 6: 4}
    seen = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[back[orientation]]))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010E] = PLACE.decode()
    data = written(seen, "JPEG", quality=95, exif=exif, comment=PLACE)
    assert PLACE in data
    decoded = await decode(data, lock)
    assert (decoded.width, decoded.height) == (80, 40)
    for rendition in decoded.renditions:
        assert is_close(shown(rendition).getpixel((8, 8)), (254, 0, 0))
        assert is_close(shown(rendition).getpixel((70, 30)), (255, 255, 255))
        assert PLACE not in rendition
        assert not {b"EXIF", b"XMP ", b"ICCP"} & {rendition[at : at + 4] for at in range(len(rendition))}


async def test_colours_become_srgb(lock: int) -> None:
    """A profile that swaps the meaning of the channels would show if it was left in, or left out."""
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    profile = bytearray(swapped)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    image = Image.new("RGB", (40, 40), "red")
    decoded = await decode(written(image, "PNG", icc_profile=bytes(profile)), lock)
    assert is_close(shown(decoded.renditions[0]).getpixel((20, 20)), (0, 0, 255))
    damaged = await decode(written(image, "PNG", icc_profile=bytes(profile[:200])), lock)
    assert is_close(shown(damaged.renditions[0]).getpixel((20, 20)), (255, 0, 0))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
async def test_of_several_frames_it_shows_the_first(kind: str, lock: int) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    decoded = await decode(written(frames[0], kind, save_all=True, append_images=frames[1:]), lock)
    assert is_close(shown(decoded.renditions[0]).getpixel((20, 20)), (255, 0, 0))


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 1001), (2**31 - 1, 2**31 - 1), (1, 50_000_001)], ids=lambda side: f"{side}"
)
async def test_too_many_pixels_are_refused_before_any_is_decoded(width: int, height: int, lock: int) -> None:
    with pytest.raises(Undecodable, match=r"pixels|damaged|not a JPEG"):
        await decode(png(width, height, b""), lock)


BOMB = png(10_000, 5_000, (b"\0" + bytes(10_000)) * 5_000)  # of as many pixels as are allowed


async def test_what_is_small_may_become_large_within_limits(lock: int) -> None:
    assert len(BOMB) < 100_000
    assert (await decode(BOMB, lock)).width == 10_000


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A decoder of the test's own."""
    monkeypatch.setattr(run, "CHILD", tmp_path / "child.py")
    return tmp_path / "child.py"


async def test_what_takes_too_much_memory_is_refused(lock: int, child: Path) -> None:
    child.write_text(WHOLE.read_text().replace("MAX_MEMORY = 1024", "MAX_MEMORY = 100"))
    with pytest.raises(Undecodable, match="memory"):
        await decode(png(5_000, 5_000, bytes(15_001 * 5_000), colours=2), lock)


READ = "import json, os, signal, sys, time\nsys.stdin.buffer.read()\n"


@pytest.mark.parametrize(
    "code",
    [
        "time.sleep(60)", "os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(1)", "", "print('{}')", "print('[]')",
        """print('{"size": [1, 1], "lengths": [1, 1]}'); print('xx')""", "sys.stdout.buffer.write(bytes(2**25))",
    ],
)  # fmt: skip
async def test_a_decoder_that_ends_without_an_answer_is_said(
    lock: int, child: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(run, "SECONDS", 5)
    child.write_text(READ + code)
    with pytest.raises(DecoderDied):
        await decode(photo(), lock)
    assert [found for found in psutil.Process().children() if str(child) in found.cmdline()] == []


async def test_it_knows_nothing_of_the_api(lock: int, child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_SECRET", "a secret")
    child.write_text(READ + "print(json.dumps({'refused': repr((dict(os.environ), os.listdir('/proc/self/fd')))}))")
    with pytest.raises(Undecodable) as caught:
        await decode(b"", lock)
    environment, files = ast.literal_eval(str(caught.value))
    assert environment.keys() <= {"LC_CTYPE"}
    assert len(files) == 5  # the usual three, the lock, and the folder that it lists


def test_on_a_machine_one_decodes_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # other tests decode meanwhile
    with only_decoder() as first:
        assert first is not None
        with only_decoder() as second:
            assert second is None
    with only_decoder() as third:
        assert third is not None


def broken(whole: bytes, chance: random.Random) -> bytes:
    """A file with some bytes lost, added or changed, most of them in its head."""
    data = bytearray(whole)
    for _ in range(chance.choice([1, 3, 20])):
        at = chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 700))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randrange(1, 300)]
            case 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 50))
            case 3:
                data[at : at + 4] = chance.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"])
    return bytes(data)


async def test_broken_photos_are_answered_or_refused(lock: int) -> None:
    """As many as strangers may send."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    colours = Image.effect_noise((160, 120), 90).convert("RGB")
    whole = [
        written(colours, "JPEG", exif=exif, icc_profile=profile), written(colours, "JPEG", progressive=True),
        written(colours, "PNG", exif=exif, icc_profile=profile), written(colours.quantize(16), "PNG"),
        written(colours, "WEBP", exif=exif, icc_profile=profile), written(colours, "WEBP", lossless=True),
        written(colours, "WEBP", save_all=True, append_images=[colours.rotate(90)]),
    ]  # fmt: skip
    chance = random.Random(1)

    async def answer(number: int) -> str:
        try:
            decoded = await decode(broken(whole[number % len(whole)], chance), lock)
        except Undecodable as error:
            return "refused" if str(error) else ""
        except DecoderDied:  # by a limit
            return "died"
        assert isinstance(decoded, Decoded)
        for rendition, side in zip(decoded.renditions, SIDES, strict=True):
            assert max(shown(rendition).size) <= side
        return "answered"

    count, found = rounds(quick=28, full=2000), []
    for first in range(0, count, 4):
        found += await asyncio.gather(*(answer(number) for number in range(first, min(first + 4, count))))
    assert {"answered", "refused"} <= set(found) <= {"answered", "refused", "died"}
