"""The commands for photos."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import rich.progress
import typer
from rich.console import Console

from api.commands.run import fail, run
from api.crud.photos import imports
from api.crud.photos.sweep import Sweep, sweep
from api.database.engine import Transactions, transactions_of_a_command
from api.external_services.s3 import S3
from api.settings import load_settings

app = typer.Typer()


def seed_photos(seed: Path) -> None:
    """Load those of the seed data, if there is a storage: all else works without photos."""
    if load_settings().s3_url is None:
        typer.echo("no photos: S3_URL is not set")
        return
    try:
        import_photos(seed / "photos")
    except typer.Exit:  # it has said why
        typer.echo(f"The zoo has none yet: python -m api import-photos {seed.name}/photos", err=True)


@app.command()
def import_photos(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="JPEG, PNG, WebP.")],
) -> None:
    """Load photos of animals from a folder, whose files are named after the animals, or their ids.

    A number after the name tells several photos of an animal apart. A photo that an animal has is left out, so that an
    import that was interrupted can be repeated.

    Example: python -m api import-photos photos/    (Amara.jpg, Amara-2.jpg, 70.png)
    """
    loaded, refused = run(_import_photos(list(folder.iterdir())), "Not all photos were loaded: repeat it.")
    typer.echo(f"{loaded} photos loaded")
    if refused:
        fail(*refused)


async def _import_photos(files: list[Path]) -> tuple[int, list[str]]:
    async with _photos() as (transactions, s3):
        async with transactions() as session:
            named, refused = await imports.find(session, files)
        console = Console(stderr=True)
        shown = rich.progress.track(named, "Loading photos", console=console, disable=not console.is_terminal)
        found = await imports.import_photos(transactions, s3, shown)
    return len(named) - len(found), refused + found


@app.command()
def sweep_photos(
    apply: Annotated[bool, typer.Option("--apply", help="Delete what is old enough; repair what can be.")] = False,
    backup_days: Annotated[int, typer.Option(min=1, help="For how long backups of the database are kept.")] = 30,
) -> None:
    """Compare the storage with the database: report objects of no photo, and photos without their objects.

    With --apply, objects are deleted that were reported more than --backup-days ago for the first time, and renditions
    that are missing are made again.

    Example: python -m api sweep-photos
    """
    found = run(_sweep_photos(timedelta(days=backup_days), apply=apply), "The storage was not compared.")
    for key, since in found.unknown.items():
        typer.echo(f"of no photo since {since:%Y-%m-%d}: {key}")
    for key in found.deletable:
        typer.echo(f"{'deleted' if apply else 'would be deleted'}: {key}")
    for photo in found.repairable:
        typer.echo(f"photo {photo}: its renditions are missing, and {'will be' if apply else 'can be'} made again")
    for photo in found.lost:
        typer.secho(f"photo {photo}: its original is missing", fg="red")


async def _sweep_photos(kept_for: timedelta, *, apply: bool) -> Sweep:
    async with _photos() as (transactions, s3):
        return await sweep(transactions, s3, kept_for, apply=apply)


@asynccontextmanager
async def _photos() -> AsyncIterator[tuple[Transactions, S3]]:
    """The database, and the storage of the photos; ValueError if there is none."""
    settings = load_settings()
    settings.require_storage()
    if settings.s3_url is None:
        raise ValueError("S3_URL is not set: there are no photos")
    s3 = S3(settings)
    try:
        async with transactions_of_a_command(settings) as transactions:
            yield transactions, s3
    finally:
        await s3.close()
