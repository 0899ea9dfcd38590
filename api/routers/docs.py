"""/docs: Swagger UI, with its files served from here, for it must work on a network without internet."""

from importlib.metadata import version

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

router = APIRouter(tags=["docs"], include_in_schema=False)

ASSETS = "/docs/assets"
ASSETS_VERSION = version("fastapi-swagger")


@router.get("/")
async def read_root(request: Request) -> RedirectResponse:
    """Lead whoever opens the bare address to the docs."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


@router.get("/docs")
async def read_docs(request: Request) -> HTMLResponse:
    """Swagger UI."""
    root = request.scope.get("root_path", "").rstrip("/")
    app: FastAPI = request.app
    return get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=f"{app.title} - Swagger UI",
        # The version makes a browser that has cached the files of an older release fetch them anew.
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js?v={ASSETS_VERSION}",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css?v={ASSETS_VERSION}",
        swagger_favicon_url=f"{root}{ASSETS}/favicon-32x32.png",
    )


def mount_assets(app: FastAPI) -> None:
    """Serve Swagger UI's own files, which the package fastapi-swagger carries."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="swagger-ui")
