"""The objects of a photo: what is uploaded, what is kept of it, and what anybody can read.

What is uploaded has another name than the others: whoever may upload does not learn where they will be.
"""

from api.decoder.run import SIDES
from api.models.photos import Photo

INCOMING, ORIGINALS, RENDITIONS = "incoming/", "originals/", "photos/"
SMALL, LARGE = (f"-{side}.webp" for side in SIDES)


def upload_key(photo: Photo) -> str:
    """Where the photo is uploaded to, in the private bucket."""
    return INCOMING + photo.upload


def original_key(photo: Photo) -> str:
    """Where what was uploaded is kept, in the private bucket."""
    return ORIGINALS + photo.name


def rendition_keys(photo: Photo) -> list[str]:
    """Where the renditions are, in the public bucket."""
    return [RENDITIONS + photo.name + end for end in (SMALL, LARGE)]
