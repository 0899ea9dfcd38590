"""/docs: Swagger UI, with its files, because it must work on a network without internet."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from api.http.document import below
from api.http.path_prefix import root_path_of

router = APIRouter(tags=["docs"], include_in_schema=False)

CSP = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
)
ASSETS = "/docs/assets"
ASSETS_VERSION = version("fastapi-swagger")
DOCUMENT = "/openapi.json"


@router.get("/")
async def read_root(request: Request) -> RedirectResponse:
    """Redirect the bare address to the docs."""
    return RedirectResponse(f"{root_path_of(request)}/docs")


@router.get("/docs")
async def read_docs(request: Request) -> HTMLResponse:
    """Swagger UI."""
    app: FastAPI = request.app
    return swagger_ui(request, DOCUMENT, app.title)


@router.get(DOCUMENT)
async def read_document(request: Request) -> JSONResponse:
    """The OpenAPI document."""
    app: FastAPI = request.app
    return JSONResponse(below(app.openapi(), root_path_of(request)))


@router.get("/favicon.ico")
async def read_icon() -> FileResponse:
    """The icon, where browsers look for it."""
    return FileResponse(str(files("fastapi_swagger") / "resources" / "favicon-32x32.png"))


def swagger_ui(request: Request, document: str, title: str) -> HTMLResponse:
    """Swagger UI for the document at this path."""
    root = root_path_of(request)
    page = get_swagger_ui_html(
        openapi_url=f"{root}{document}",
        title=f"{title} - Swagger UI",
        # The version makes a browser that has cached an older release's files fetch them again.
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js?v={ASSETS_VERSION}",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css?v={ASSETS_VERSION}",
        swagger_favicon_url=f"{root}{ASSETS}/favicon-32x32.png",
    )
    page.headers["Content-Security-Policy"] = f"{CSP} script-src 'self' {_inline_scripts(bytes(page.body))}"
    return page


def _inline_scripts(page: bytes) -> str:
    """The hashes of the page's inline scripts, as in a CSP, which then allows no others."""
    scripts = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts)


def mount_assets(app: FastAPI) -> None:
    """Serve Swagger UI's files, which are in the package fastapi-swagger."""
    app.mount(ASSETS, StaticFiles(packages=[("fastapi_swagger", "resources")]), name="swagger-ui")
