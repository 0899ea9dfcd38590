"""A route's query, validated at once: FastAPI would look for each field of a model by itself."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError


def validated_at_once(dependant: Dependant) -> Dependant:
    """`dependant`, with a last dependency that validates its query's model, if it has one.

    The document is still made from the former, which names the fields.
    """
    models = [field.field_info.annotation for field in dependant.query_params]
    if len(models) != 1 or not isinstance(models[0], type) or not issubclass(models[0], BaseModel):
        return dependant
    (field,) = dependant.query_params
    read = get_dependant(path=dependant.path or "", call=_reader(models[0]), name=field.name)
    return replace(dependant, query_params=[], dependencies=[*dependant.dependencies, read])


def _reader(model: type[BaseModel]) -> Callable[[Request], Awaitable[BaseModel]]:
    async def read(request: Request) -> BaseModel:
        try:
            return model.model_validate(dict(request.query_params))
        except ValidationError as error:
            found = error.errors(include_url=False)
            raise RequestValidationError([{**one, "loc": ("query", *one["loc"])} for one in found]) from error

    return read
