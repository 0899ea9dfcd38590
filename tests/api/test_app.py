"""The app, used as FastAPI documents it."""

from httpx import AsyncClient

from api.dependencies import get_links
from api.errors import Conflict
from api.main import create_app
from api.settings import Settings
from tests.conftest import Serve


async def test_dependencies_can_be_overridden_as_fastapi_documents_it(serve_here: Serve, client: AsyncClient) -> None:
    app = create_app(Settings())

    async def nobody_writes() -> None:
        raise Conflict("The zoo is closed")

    app.dependency_overrides[get_links] = nobody_writes
    overridden = serve_here(app).client("admin")
    assert (await overridden.post("/animals", json={"name": "A"})).status_code == 409
    assert (await client.post("/animals", json={"name": "B"})).status_code == 201  # of another app
    app.dependency_overrides.clear()
    assert (await overridden.post("/animals", json={"name": "A"})).status_code == 201
