"""Messages, about statements of every kind: none is too much for the lint, and none has a name that is empty."""

import re
from pathlib import Path

import pytest

from alembic_online.lint import lint_revisions
from tests.alembic_online.lint.bodies import REVISION, lint_body
from tests.alembic_online.lint.examples import HERE, project

STATEMENTS = (HERE / "statements.sql").read_text().splitlines()
# A word that a name belongs after, and none; or a name of nothing.
EMPTY = re.compile(r"(?<!then )\b(?:of|on|the|to|from|in|drops) ?(?:[.,;:)]|$)|  |\"\"|(?<!\w)\(\)| \.[a-z]")


def test_no_name_is_empty(tmp_path: Path) -> None:
    for number, sql in enumerate(STATEMENTS):
        text = REVISION.format(header="", body=f"    op.execute({sql!r})")
        (tmp_path / f"{number}.py").write_text(text.replace('"one"', f'"{number}"'))
    found = lint_revisions(project(tmp_path), [str(number) for number in range(len(STATEMENTS))])
    assert len({finding.revision for finding in found}) > len(STATEMENTS) / 2
    for finding in found:
        said = f"{finding.what}. {finding.safe_way}."
        assert not EMPTY.search(said), (STATEMENTS[int(finding.revision)], said)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP VIEW named_animals CASCADE", "whatever depends on the view named_animals"),
        ("DROP MATERIALIZED VIEW a, s.b", "drops the materialized view a and the materialized view s.b, which"),
        ("DROP TYPE diet CASCADE", "whatever depends on the type diet"),
        ("DROP CAST (text AS int)", "drops the cast from text to int4"),
        ("DROP TRIGGER touch ON staff", "drops the trigger touch of staff"),
        ("DROP OPERATOR CLASS s.oc USING btree", "drops the operator class s.oc"),
        ("ALTER TYPE pair ADD ATTRIBUTE x int CASCADE", "the tables of type pair"),
        ("ALTER TYPE pair DROP ATTRIBUTE x", "drops the attribute pair.x"),
        ("ALTER TYPE diet RENAME TO food", "no longer finds the type diet"),
        ("ALTER TYPE diet RENAME VALUE 'meat' TO 'it''s'", "no longer finds the value 'meat' of the type diet"),
        ("ALTER VIEW named_animals RENAME TO named", "CREATE VIEW named AS TABLE named_animals"),
        ("ALTER VIEW named_animals RENAME COLUMN name TO title", "create a second view that has title"),
        ("ALTER TABLE animals DROP COLUMN species CASCADE", "whatever depends on the column animals.species"),
        ("ALTER FUNCTION greet(text) OWNER TO x", "the owner of the function greet changes"),
        ("REVOKE SELECT ON animals, s.x FROM y", "rights on the table animals and the table s.x are revoked"),
        ("CALL s.p(1)", "what the procedure s.p does is not known"),
        ("DROP OWNED BY x", "DROP OWNED does not show what it does"),
        ("SELECT * FROM animals FOR UPDATE", "Leave out the lock"),
        ("REINDEX DATABASE", "REINDEX DATABASE CONCURRENTLY"),
        ("MERGE INTO animals a USING weights w ON w.animal_id = a.id WHEN MATCHED THEN DELETE", "deletes the matching"),
        (
            "MERGE INTO animals a USING weights w ON w.animal_id = a.id WHEN MATCHED THEN UPDATE SET name = 'x'",
            "changes the matching rows of animals",
        ),
        (
            "MERGE INTO animals a USING weights w ON w.animal_id = a.id WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
            "copies weights into animals",
        ),
        ("WITH gone AS (DELETE FROM animals) SELECT 1", "Delete in small batches"),
    ],
)
def test_what_is_meant_is_named(tmp_path: Path, sql: str, said: str) -> None:
    assert any(said in str(finding) for finding in lint_body(tmp_path, f"op.execute({sql!r})"))


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER INDEX ix_meals_price ATTACH PARTITION ix_part",
        "ALTER STATISTICS s SET SCHEMA x",
        "MERGE INTO animals a USING weights w ON w.animal_id = a.id WHEN MATCHED THEN DO NOTHING",
    ],
)
def test_what_disturbs_nobody_is_not_found(tmp_path: Path, sql: str) -> None:
    assert not lint_body(tmp_path, f"op.execute({sql!r})")
