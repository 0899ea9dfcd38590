"""`python child.py NICENESS SIDE... < photo`: the renditions of a photo, without anything else that is in its file.

It runs as a script, imports nothing of the api, and has neither its environment nor its files: whatever a photo makes
the libraries for images do, it happens here. Standard output is a line of JSON, and then the renditions it lists.
"""

import json
import os
import resource
import sys
import warnings
from contextlib import suppress
from io import BytesIO

MIB = 2**20
# Address space: a WebP of MAX_PIXELS takes the most.
MAX_MEMORY = 1024 * MIB
MAX_CPU_SECONDS = 20
MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP")
# As Pillow names them: MPO is what cameras call a JPEG that others follow in the same file.
CONTENT_TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
QUALITY = 80

LIMITS = {
    resource.RLIMIT_AS: MAX_MEMORY,
    resource.RLIMIT_CPU: MAX_CPU_SECONDS,
    resource.RLIMIT_FSIZE: 0,  # writes no files; a pipe is none
    resource.RLIMIT_NPROC: 0,  # starts no processes and no threads
    resource.RLIMIT_CORE: 0,
}
os.nice(int(sys.argv[1]))
SIDES = [int(side) for side in sys.argv[2:]]  # pixels of the longer side of a rendition, at most
for limit, most in LIMITS.items():
    resource.setrlimit(limit, (most, most))

from PIL import Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin  # noqa: E402 - limited, too

PLUGINS = JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # imported: Image finds them by name
SRGB = ImageCms.createProfile("sRGB")
ORIENTATION = 0x0112  # of EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = {5, 6, 7, 8}


class Refused(Exception):
    """The file is no photo that can be shown; the message says why."""


def main() -> None:
    """Read a photo, and write its renditions, or why there are none."""
    warnings.simplefilter("ignore")
    try:
        photo = opened(sys.stdin.buffer.read())
        orientation, (width, height) = orientation_of(photo), photo.size
        seen = upright(in_srgb(photo), orientation)
        renditions = [rendition(seen, side) for side in SIDES]
    except Refused as error:
        answer({"refused": str(error)})
    except MemoryError:
        answer({"refused": "it takes too much memory to decode"})
    except Exception as error:  # noqa: BLE001 - whatever the libraries find wrong with a file
        answer({"refused": f"it is damaged: {error or type(error).__name__}"})
    else:
        size = (height, width) if orientation in LYING else (width, height)
        kind, lengths = CONTENT_TYPES[photo.format or ""], [len(part) for part in renditions]
        answer({"type": kind, "size": size, "lengths": lengths}, *renditions)


def answer(found: dict[str, object], *parts: bytes) -> None:
    """Write the answer."""
    sys.stdout.buffer.write(json.dumps(found).encode() + b"\n" + b"".join(parts))


def opened(data: bytes) -> ImageFile.ImageFile:
    """A photo, of which only the header has been read."""
    Image.MAX_IMAGE_PIXELS = None  # their number is checked here, in words
    try:
        photo = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise Refused("it is not a JPEG, PNG or WebP") from None
    width, height = photo.size
    if width * height > MAX_PIXELS:
        raise Refused(f"it has {width:,} x {height:,} pixels, and {MAX_PIXELS:,} are the most")
    return photo


def orientation_of(photo: Image.Image) -> int | None:
    """How its camera was held, as EXIF counts it; None if it does not say."""
    try:
        found = photo.getexif().get(ORIENTATION)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, the photo can be shown without
        return None
    return found if isinstance(found, int) else None


def upright(photo: Image.Image, orientation: int | None) -> Image.Image:
    """The photo as its camera was held."""
    turn = TURNS.get(orientation or 1)
    return photo if turn is None else photo.transpose(turn)


def in_srgb(photo: ImageFile.ImageFile) -> Image.Image:
    """The photo's first frame in sRGB, as small as the largest rendition may be."""
    side, profile = max(SIDES), photo.info.get("icc_profile")
    photo.draft(None, (2 * side, 2 * side))  # a JPEG is decoded no larger than needed
    photo.load()
    small = in_channels(photo)
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3)
    alpha = small.getchannel("A") if small.mode == "RGBA" else None
    colours = small if alpha is None else small.convert("RGB")
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):  # can't be read, or is for other colours
            colours = ImageCms.profileToProfile(colours, BytesIO(profile), SRGB, outputMode="RGB") or colours
    colours = colours.convert("RGB")
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def in_channels(photo: Image.Image) -> Image.Image:
    """The photo with 8 bits for each channel: a palette can't be made smaller."""
    if photo.mode.startswith("I"):  # 16 bits of grey
        return photo.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    wanted = "RGBA" if photo.has_transparency_data else {"1": "L", "L": "L", "CMYK": "CMYK"}.get(photo.mode, "RGB")
    return photo if photo.mode == wanted else photo.convert(wanted)


def rendition(photo: Image.Image, side: int) -> bytes:
    """The photo, with no side longer than `side`, as WebP: its pixels, and nothing else."""
    smaller, file = photo.copy(), BytesIO()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS)
    smaller.save(file, "WEBP", quality=QUALITY, method=4)
    return file.getvalue()


main()
