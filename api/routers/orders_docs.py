"""/docs/orders, /openapi/orders.json: the documentation of the orders only."""

from functools import lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, JSONResponse

from api.dependencies import SettingsDep
from api.http.authentication import cookie_name, declare_sign_in
from api.http.document import INFO, below, complete
from api.http.path_prefix import root_path_of
from api.routers.docs import swagger_ui

router = APIRouter(tags=["docs"], include_in_schema=False)

DOCUMENT = "/openapi/orders.json"
TITLE = "Zoo: orders"


@router.get("/docs/orders")
async def read_orders_docs(request: Request) -> HTMLResponse:
    """Swagger UI, for the orders only."""
    return swagger_ui(request, DOCUMENT, TITLE)


@router.get(DOCUMENT)
async def read_orders_document(request: Request, settings: SettingsDep) -> JSONResponse:
    """The OpenAPI document of the orders only."""
    return JSONResponse(_document(request.app, root=root_path_of(request), cookie=cookie_name(settings)))


@lru_cache(maxsize=1)  # it takes tens of milliseconds, in which no other request is served
def _document(app: FastAPI, *, root: str, cookie: str) -> dict[str, Any]:
    """The part of the app's document about the orders, as a document of its own.

    Its `tokenUrl` begins with the `root` of the API, because Swagger UI would resolve a relative one against its own
    page, which is one level deeper than the page of the whole document.
    """
    routes = [route for route in app.routes if isinstance(route, APIRoute) and "orders" in route.tags]
    about = [found for found in app.openapi_tags or () if found["name"] == "orders"]
    document = get_openapi(title=TITLE, version=app.version, routes=routes, tags=about, **INFO)
    complete(document)
    declare_sign_in(document, cookie)
    for scheme in document["components"]["securitySchemes"].values():
        for flow in scheme.get("flows", {}).values():
            flow["tokenUrl"] = f"{root}/{flow['tokenUrl']}"
    return below(document, root)
