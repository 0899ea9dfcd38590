"""The models. All of this folder are imported here, so that `Base.metadata` is complete for the migrator."""

from importlib import import_module
from pkgutil import iter_modules

from api.models.base import Base

__all__ = ["Base"]

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")
