"""Exhibits, as a resource."""

from api.crud.resource import Resource
from api.enums.users import UserType
from api.models.exhibits import Exhibit
from api.schemas.exhibits import ExhibitCreate

RESOURCE = Resource(Exhibit, ExhibitCreate, "exhibit", writers=UserType.ADMIN)
