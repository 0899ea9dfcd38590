"""The health of the api, as it reports it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Health(BaseModel):
    """All is well."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "OK", "code": 200, "timestamp": "2026-11-21T09:30:00Z"}]}
    )

    status: Literal["OK"] = "OK"
    code: Literal[200] = 200
    timestamp: datetime
