"""Animals, as a resource, and what they have besides their fields."""

from api.crud.photos.first import FIRST_PHOTO
from api.crud.resource import Resource
from api.enums.users import UserType
from api.models.animals import Animal
from api.schemas.animals import AnimalCreate
from api.schemas.photos import FirstPhoto

RESOURCE = Resource(
    Animal,
    AnimalCreate,
    "animal",
    writers=UserType.KEEPER,
    computed=FirstPhoto,
    expressions={"photo": FIRST_PHOTO},
)
