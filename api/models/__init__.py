"""Every model, imported here so that `Base.metadata` is complete for the migrator."""

from api.models.animals import Animal
from api.models.base import Base
from api.models.exhibits import Exhibit
from api.models.staff import Staff

__all__ = ["Animal", "Base", "Exhibit", "Staff"]
