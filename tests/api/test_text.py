"""Text has one form: what looks the same is the same, and what only looks empty is empty."""

import json
import unicodedata
from time import process_time

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from api.crud.resources import RESOURCES
from api.schemas import text
from api.schemas.animals import AnimalCreate
from api.schemas.text import Line, Name, Prose
from tests.api.records import Resource, every_resource, make, new
from tests.each import each

QUERY = RESOURCES["animals"].query
NFC, NFD = "Zo\u00eb", "Zoe\u0308"
INVISIBLE = [
    "\u200b", "\ufeff", "\u3164", "\u2800", "\u00ad", "\u2060", "\u115f\u1160", "\uffa0", "\u200d", "\u200c", "\u200e",
    "\ufe0f", "\u034f", "\u180e", "\u061c", "\u00a0", "\u3000", "\U000e0041", "\U0001d159", " \u200b\t\ufeff\u2003",
]  # fmt: skip
REFUSED = [
    "\x01", "\x1b", "\x7f", "\x85", "\x9f", "\t", "\n", "\r\n", "\u2028", "\u2029", "\u202a", "\u202b", "\u202c",
    "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\u206a", "\ufff9",
]  # fmt: skip
LEGAL = {
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f",
    "flag": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Persian": "\u0645\u06cc\u200c\u0631\u0648\u0645",
    "Hindi": "\u0915\u094d\u200d\u0937",
    "Hebrew, marked": "\u05d0\u200e1",
    "Mongolian": "\u1828\u180b\u1820",
    "ZWJ at the end": "\u0647\u200d",
}


def codes(value: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in value)


def locs_of(schema: type[BaseModel], **fields: str) -> list[str | int]:
    """The fields that are refused."""
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(fields)
    return [error["loc"][0] for error in caught.value.errors()]


@every_resource
async def test_a_text_is_changed_by_any_of_its_forms(client: httpx.AsyncClient, resource: Resource) -> None:
    lines = resource.of_kind(Name, Line)
    record = await make(client, resource.path, **dict.fromkeys(lines, NFD))
    assert {field: record[field] for field in lines} == dict.fromkeys(lines, NFC)
    same = await client.patch(f"{resource.path}/{record['id']}", json=dict.fromkeys(lines, NFD))
    assert same.json() == record


@pytest.mark.parametrize(
    ("path", "field"), [("/animals", "name"), ("/animals", "species"), ("/exhibits", "location")], ids=str
)
async def test_a_filter_finds_every_form(client: httpx.AsyncClient, path: str, field: str) -> None:
    record = await make(client, path, **{field: NFD})
    assert (await client.get(path, params={field: f"\ufeff{NFD}\u200b"})).json() == [record]


@each(
    "stored, sought",
    [
        (NFC, NFD), (NFD, NFC), ("\uac00", "\u1100\u1161"), ("\u212b", "\u00c5"), ("e\u0323\u0302", "e\u0302\u0323"),
        ("Zo\u200b\u00eb", NFC), (f"\ufeff{NFC}", NFC), (f" {NFC}\u200e", NFC), (NFC, f"{NFC}\u200b"),
    ],
)  # fmt: skip
def test_every_form_is_the_same(stored: str, sought: str) -> None:
    animal = AnimalCreate(name=stored, species=stored)
    query = QUERY.model_validate({"name": sought, "species": sought})
    assert (animal.name, animal.species) == (getattr(query, "name"), getattr(query, "species"))  # noqa: B009


@each("value", INVISIBLE)
def test_what_only_looks_empty_is_empty(value: str) -> None:
    for name in (value, value * 3):
        assert locs_of(AnimalCreate, name=name) == ["name"]
    animal = AnimalCreate(name=f"{value}Amara", species=value, description=value)
    assert (animal.name, animal.species, animal.description) == ("Amara", "", "")


@each("value", REFUSED)
def test_controls_and_changes_of_direction_are_refused_in_a_line(value: str) -> None:
    line = f"Am{value}ara"
    assert locs_of(AnimalCreate, name=line, species=line) == ["name", "species"]
    assert locs_of(QUERY, name=line) == ["name"]


@every_resource
async def test_a_change_of_direction_is_refused_in_every_line(client: httpx.AsyncClient, resource: Resource) -> None:
    body = await new(client, resource)
    for field in resource.of_kind(Name, Line):
        answer = await client.post(resource.path, json=body | {field: "Am\u202eara"})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field])


@each("value", LEGAL.values())
def test_joiners_and_selectors_stay(value: str) -> None:
    assert AnimalCreate(name=value).name == value
    assert getattr(QUERY.model_validate({"name": value}), "name") == value  # noqa: B009


async def test_prose_keeps_its_lines_and_its_blanks(client: httpx.AsyncClient) -> None:
    value = f"  {NFD}\r\n\tand more \n"
    assert (await make(client, "/animals", description=value))["description"] == f"  {NFC}\r\n\tand more \n"


async def test_the_length_is_that_of_what_is_stored(client: httpx.AsyncClient) -> None:
    assert len((await make(client, "/animals", name="e\u0308" * 200))["name"]) == 200
    grows = "\u0958"  # two characters in normal form
    assert unicodedata.normalize("NFC", grows) != grows
    for field, value in (("name", grows * 101), ("species", grows * 101), ("description", grows * 5_001)):
        answer = await client.post("/animals", json={"name": "A"} | {field: value})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field])


def test_marks_without_end_are_refused_before_they_are_sorted() -> None:
    began = process_time()
    with pytest.raises(ValueError, match="combining marks"):
        text.prose("a" + "\u0315\u0300" * 50_000)
    assert process_time() - began < 2  # to sort them would take many seconds
    assert text.prose("e" + "\u0323\u0302" * 15).startswith("\u1ec7")


@every_resource
async def test_half_of_a_surrogate_pair_is_refused(client: httpx.AsyncClient, resource: Resource) -> None:
    body = await new(client, resource)
    for field in resource.of_kind(Name, Line, Prose):
        content = json.dumps(body | {field: "\ud83e"})
        answer = await client.post(resource.path, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", field])
