"""Photos of animals, as the API accepts and returns them."""

import json
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic's, before Python 3.12

from api.enums.photos import PhotoState
from api.schemas.fields import Computed, RequestBody
from api.schemas.text import Name

MAX_PHOTOS = 20  # of an animal
MAX_SIZE = 25 * 2**20  # bytes of an upload
EXAMPLE: dict[str, Any] = {"content_type": "image/jpeg", "size": 2_483_113, "alt": "Amara at the water hole"}
PHOTO: dict[str, Any] = {
    "id": 1,
    "animal_id": 70,
    "state": "ready",
    "reason": None,
    **EXAMPLE,
    "position": 0,
    "width": 4032,
    "height": 3024,
    "small": "https://photos.zoo.example/photos/0f3c1b7a9d5e4f628b1c0a7d3e9f5b26-320.webp",
    "large": "https://photos.zoo.example/photos/0f3c1b7a9d5e4f628b1c0a7d3e9f5b26-1280.webp",
    "created_at": "2026-11-26T09:30:00Z",
    "updated_at": "2026-11-26T09:30:04Z",
}
FIRST: dict[str, Any] = {"small": PHOTO["small"], "large": PHOTO["large"], "alt": EXAMPLE["alt"]}
UPLOAD: dict[str, Any] = {
    "url": "https://s3.zoo.example/zoo-private/incoming/1b7a...?X-Amz-Signature=...",
    "headers": {"Content-Length": "2483113", "Content-Type": "image/jpeg", "If-None-Match": "*"},
    "expires_at": "2026-11-26T10:30:00Z",
}


class PhotoCreate(RequestBody):
    """A photo that is about to be uploaded."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    content_type: Literal["image/jpeg", "image/png", "image/webp"]
    size: int = Field(ge=1, le=MAX_SIZE, description="Exactly how many bytes will be uploaded.")
    alt: Annotated[Name, Field(description="What the photo shows, for those who can't see it.")]


class PhotoUpdate(RequestBody):
    """Changes to a photo: only the fields sent change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"position": 0}]})

    alt: Name | MISSING = MISSING
    position: Annotated[int, Field(ge=0, lt=MAX_PHOTOS)] | MISSING = MISSING


class PhotoRead(BaseModel):
    """A photo of an animal. Only keepers see one that is not `ready`, and the `reason` why one has `failed`."""

    model_config = ConfigDict(from_attributes=True, extra="forbid", json_schema_extra={"examples": [PHOTO]})

    id: int
    animal_id: int
    state: PhotoState
    reason: str | None
    content_type: str = Field(description="That of its content, once it is ready.")
    size: int
    alt: str
    position: int = Field(description="Its place among the animal's photos, from 0 on.")
    width: int | None = Field(description="Of the photo as it is seen, in pixels; known when it is ready.")
    height: int | None
    small: str | None = Field(
        description="Where anybody can read it, no side longer than 320 pixels, once it is ready."
    )
    large: str | None = Field(description="No side longer than 1,280 pixels.")
    created_at: datetime
    updated_at: datetime


class Upload(BaseModel):
    """Where a photo can be uploaded, once: by PUT, with exactly these headers."""

    model_config = ConfigDict(json_schema_extra={"examples": [UPLOAD]})

    url: str
    headers: dict[str, str]
    expires_at: datetime


class PhotoCreated(PhotoRead):
    """A photo that is about to be uploaded, and where."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                PHOTO
                | {"state": "pending", "width": None, "height": None, "small": None, "large": None}
                | {
                    "updated_at": PHOTO["created_at"],
                    "upload": UPLOAD,
                }
            ]
        }
    )

    upload: Upload


class AnimalPhoto(TypedDict):
    """The first photo of an animal: where anybody can read it, and what it shows."""

    __pydantic_config__ = ConfigDict(json_schema_extra={"examples": [FIRST]})  # type: ignore[misc]  # pydantic's way

    small: str
    large: str
    alt: str


class FirstPhoto(Computed):
    """What an animal has of its photos."""

    EXAMPLE: ClassVar = {"photo": FIRST}

    photo: AnimalPhoto | None

    def __post_init__(self) -> None:
        """Read the photo, which is JSON in a row of the database."""
        if isinstance(self.photo, str):
            self.photo = json.loads(self.photo)
