"""Staff, as a resource."""

from api.crud.resource import Resource
from api.enums.users import UserType
from api.models.staff import Staff
from api.schemas.staff import StaffCreate

RESOURCE = Resource(Staff, StaffCreate, "staff member", readers=UserType.KEEPER, writers=UserType.ADMIN)
