"""/docs, /docs/orders: Swagger UI, its files served from here, for it must work on a network without internet."""

from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from api.http.openapi import part

router = APIRouter(tags=["docs"], include_in_schema=False)

ASSETS = "/docs/assets"
ASSETS_VERSION = version("fastapi-swagger")
ORDERS_DOCUMENT = "/openapi/orders.json"
ORDERS_TITLE = "Zoo: orders"


@router.get("/")
async def read_root(request: Request) -> RedirectResponse:
    """Lead whoever opens the bare address to the docs."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


@router.get("/docs")
async def read_docs(request: Request) -> HTMLResponse:
    """Swagger UI."""
    app: FastAPI = request.app
    return _swagger_ui(request, f"{app.openapi_url}", app.title)


@router.get("/docs/orders")
async def read_orders_docs(request: Request) -> HTMLResponse:
    """Swagger UI, of the orders alone."""
    return _swagger_ui(request, ORDERS_DOCUMENT, ORDERS_TITLE)


@router.get(ORDERS_DOCUMENT)
async def read_orders_document(request: Request) -> JSONResponse:
    """The OpenAPI document of the orders alone."""
    return JSONResponse(part(request.app, "orders", ORDERS_TITLE, _root(request)))


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")


def _swagger_ui(request: Request, document: str, title: str) -> HTMLResponse:
    root = _root(request)
    return get_swagger_ui_html(
        openapi_url=f"{root}{document}",
        title=f"{title} - Swagger UI",
        # The version makes a browser that has cached the files of an older release fetch them anew.
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js?v={ASSETS_VERSION}",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css?v={ASSETS_VERSION}",
        swagger_favicon_url=f"{root}{ASSETS}/favicon-32x32.png",
    )


def mount_assets(app: FastAPI) -> None:
    """Serve Swagger UI's own files, which the package fastapi-swagger carries."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="swagger-ui")
