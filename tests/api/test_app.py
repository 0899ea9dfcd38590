"""The app, used as FastAPI documents it."""

from api.dependencies import get_links
from api.errors import Conflict
from api.main import create_app
from api.settings import Settings
from local.postgres import Server
from tests.conftest import answering


async def test_dependencies_can_be_overridden_as_fastapi_documents_it(server: Server, database: str) -> None:
    app = create_app(Settings(database_url=server.url("zoo_api", database)))

    async def nobody_writes() -> None:
        raise Conflict("The zoo is closed")

    app.dependency_overrides[get_links] = nobody_writes
    async with answering(app) as client:
        assert (await client.post("/animals", json={"name": "A"})).status_code == 409
        app.dependency_overrides.clear()
        assert (await client.post("/animals", json={"name": "A"})).status_code == 201
    async with answering(create_app(Settings(database_url=server.url("zoo_api", database)))) as another:
        assert (await another.post("/animals", json={"name": "B"})).status_code == 201
