"""Internals of libraries that the tool uses or overrides: docs/internals.md says why.

If an upgrade changes one, the test with its name fails, before anything else does.
"""

import sys
from pathlib import Path
from typing import Any

import postgast
import pytest
import sqlalchemy as sa
from alembic import command, op
from alembic.autogenerate import render_op_text, renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type
from alembic.config import CommandLine
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.runtime.plugins import Plugin
from alembic.script import Script, ScriptDirectory
from alembic.util import PriorityDispatcher
from postgast import pg_query_pb2 as pg
from postgast.walk import unwrap_node, walk
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.named_types import CreateEnumType, DropEnumType
from sqlalchemy.exc import CompileError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import await_, greenlet_spawn

from alembic_online.compare import PLUGINS
from alembic_online.expressions import DIALECT, sql_of
from tests.alembic_online.zoo import ZOO


def written(**opts: Any) -> MigrationContext:
    """A context that writes SQL, and needs no database."""
    return MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, **opts})


class TestAlembic:
    def test_alembic_impl_static_output_and_what_goes_through_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context, said = written(), list[str]()
        monkeypatch.setattr(context.impl, "static_output", said.append)
        monkeypatch.setattr(context.impl, "emit_begin", lambda: said.append("begin"))
        monkeypatch.setattr(context.impl, "emit_commit", lambda: said.append("commit"))
        with context.begin_transaction(), context.autocommit_block():
            context.impl.execute("SELECT 1")
        assert [line.strip() for line in said] == ["begin", "commit", "SELECT 1;", "begin", "commit"]

    def test_alembic_impl_alter_column_and_drop_constraint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context, told = written(), list[Any]()
        monkeypatch.setattr(context.impl, "alter_column", lambda *_, **options: told.append(options["existing_type"]))
        kind = sa.Integer()
        Operations(context).alter_column("animals", "name", type_=sa.Text(), existing_type=kind)
        assert told == [kind]
        monkeypatch.setattr(context.impl, "drop_constraint", lambda constraint, **_: told.append(type(constraint)))
        Operations(context).drop_constraint("c", "animals", type_="unique")
        assert told == [kind, sa.UniqueConstraint]

    def test_alembic_repr_type(self) -> None:
        context = AutogenContext(written(), opts={"sqlalchemy_module_prefix": "sa."}, autogenerate=False)
        assert _repr_type(sa.Text(), context) == "sa.Text()"

    def test_alembic_impl_compare_identity_default(self) -> None:
        impl: Any = written().impl
        differ, *_ = impl._compare_identity_default(sa.Identity(increment=2), sa.Identity())  # noqa: SLF001
        assert differ == {"increment"}

    def test_alembic_plugins(self) -> None:
        comparators = PriorityDispatcher()
        Plugin.populate_autogenerate_priority_dispatch(comparators, PLUGINS)
        compare: Any = comparators.dispatch("column", qualifier="postgresql")
        assert compare is not None

    def test_alembic_op_install_proxy(self) -> None:
        outer = Operations(written())
        with Operations.context(written()) as inner:
            assert op._proxy is inner  # type: ignore[attr-defined]  # noqa: SLF001 - what this is about
            outer._install_proxy()  # noqa: SLF001
            assert op.get_context() is outer.migration_context
            inner._install_proxy()  # noqa: SLF001 - for the end of the block
        assert getattr(op, "_proxy", None) is None

    def test_alembic_context_keeps_options_of_ours(self) -> None:
        def steps(*_: Any) -> list[Any]:
            return []

        assert written(fn=steps, project=ZOO, lock=1).opts.items() >= {"fn": steps, "lock": 1}.items()

    def test_alembic_cmd_opts_cmd(self) -> None:
        options = CommandLine().parser.parse_args(["upgrade", "head"])
        assert options.cmd[0] is command.upgrade
        assert options.revision == "head"
        assert options.raiseerr is False

    def test_alembic_render_op_text(self) -> None:
        context = AutogenContext(written(), opts={"alembic_module_prefix": "op."}, autogenerate=False)
        assert render_op_text(context, ops.DropIndexOp("i", "animals")).startswith("op.drop_index(")
        assert callable(renderers.dispatch_for)

    def test_alembic_ops_tokens_and_lists(self) -> None:
        upgrade, downgrade = ops.UpgradeOps([], "up"), ops.DowngradeOps([], "down")
        script = ops.MigrationScript("1", upgrade, downgrade, head="0", splice=None, version_path=None)
        assert (script.upgrade_ops_list, script.downgrade_ops_list) == ([upgrade], [downgrade])
        assert (upgrade.upgrade_token, downgrade.downgrade_token) == ("up", "down")

    def test_alembic_revision_step(self) -> None:
        newest = ZOO.scripts.get_revision("head")
        assert newest is not None
        step = RevisionStep.upgrade_from_script(ZOO.scripts.revision_map, newest)
        assert (step.is_upgrade, step.revision, step.doc) == (True, newest, newest.doc)
        assert step.info.up_revision_ids == (newest.revision,)
        assert (step.info.is_upgrade, step.info.is_stamp) == (True, False)

    def test_alembic_script_from_path_and_list_py_dir(self) -> None:
        (folder,) = ZOO.scripts._version_locations  # noqa: SLF001 - what this is about
        paths = Script._list_py_dir(ZOO.scripts, folder)  # noqa: SLF001
        found = [Script._from_path(ZOO.scripts, path) for path in paths]  # noqa: SLF001
        assert {script.revision for script in found if script} == {
            script.revision for script in ZOO.scripts.walk_revisions()
        }

    def test_alembic_warns_is_present_more_than_once(self, tmp_path: Path) -> None:
        for name in ("one.py", "two.py"):
            (tmp_path / name).write_text('revision = "1"\ndown_revision = None\n')
        scripts = ScriptDirectory(str(tmp_path), version_locations=[str(tmp_path)])
        with pytest.warns(UserWarning, match="is present more than once"):
            scripts.get_heads()


class TestSqlalchemy:
    def test_sqlalchemy_should_create_for_compiler_and_format_constraint(self) -> None:
        dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
        compiler = dialect.ddl_compiler(dialect, None)
        table = sa.Table(
            "t",
            sa.MetaData(),
            sa.Column("a", sa.Boolean(create_constraint=True, name="a")),
            sa.Column("b", sa.Enum("x", native_enum=False, create_constraint=True, name="B b")),
        )
        created = [
            dialect.identifier_preparer.format_constraint(each, _alembic_quote=False)
            for each in table.constraints
            if each.name and each._should_create_for_compiler(compiler)  # noqa: SLF001 - what this is about
        ]
        assert created == ["B b"]

    async def test_sqlalchemy_await(self) -> None:
        async def answer() -> int:
            return 1

        assert await greenlet_spawn(lambda: await_(answer())) == 1

    def test_sqlalchemy_compilers_visit_textclause_bindparam_and_ddl(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Compiler(SQLCompiler):
            def visit_textclause(self, textclause: sa.TextClause, *args: Any, **options: Any) -> str:
                return str(super().visit_textclause(textclause, *args, mark=True, **options))  # type: ignore[no-untyped-call]

            def visit_bindparam(self, bindparam: sa.BindParameter[Any], *_: Any, mark: bool = False, **__: Any) -> str:
                return f"{bindparam.key} {mark} {bindparam.required} {self.column_keys}"

        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        monkeypatch.setattr(dialect, "statement_compiler", Compiler)
        clause = sa.text(":a, :b").bindparams(b=1)
        assert str(clause.compile(dialect=dialect, column_keys=["a"])) == "a True True ['a'], b True False ['a']"
        monkeypatch.setattr(dialect.ddl_compiler, "visit_ddl", lambda _, ddl, **__: ddl.statement)
        assert str(sa.DDL("100%").compile(dialect=dialect)) == "100%"  # type: ignore[no-untyped-call]

    def test_sqlalchemy_compilers_render_literal_value(self) -> None:
        element = sa.func.to_tsvector("it's", sa.column("c"))
        plain = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
        with pytest.raises(CompileError):
            element.compile(dialect=plain, compile_kwargs={"literal_binds": True})
        assert sql_of(element) == "to_tsvector('it''s', c)"

    def test_sqlalchemy_create_enum_type_and_drop_enum_type(self) -> None:
        enum, dialect = postgresql.ENUM("a", name="size"), postgresql.dialect()  # type: ignore[no-untyped-call]
        create, drop = (str(ddl(enum).compile(dialect=dialect)) for ddl in (CreateEnumType, DropEnumType))
        assert (create, drop) == ("CREATE TYPE size AS ENUM ('a')", "DROP TYPE size")

    def test_sqlalchemy_constraints_create_rule_and_names(self) -> None:
        convention = {"ck": "ck_%(table_name)s_%(constraint_name)s"}
        column: Any = sa.Column("c", sa.Enum("a", name="size", native_enum=False, create_constraint=True))
        table = sa.Table("t" * 70, sa.MetaData(naming_convention=convention), column)
        (check,) = (each for each in table.constraints if isinstance(each, sa.CheckConstraint))
        rule: Any = check._create_rule  # noqa: SLF001
        assert rule(DIALECT.ddl_compiler(DIALECT, None)) is True
        assert len(DIALECT.identifier_preparer.format_constraint(check, _alembic_quote=False)) <= 63
        other = sa.Constraint(name="other")
        other._set_parent(table)  # noqa: SLF001
        assert other in table.constraints

    def test_sqlalchemy_metadata_sequences(self) -> None:
        models = sa.MetaData()
        sequence = sa.Sequence("numbers", metadata=models)
        assert list(models._sequences.values()) == [sequence]  # noqa: SLF001


class TestPostgast:
    def test_postgast_walk_and_the_names_of_nodes(self) -> None:
        (statement,) = postgast.parse("ALTER TABLE a ALTER b SET NOT NULL").stmts
        node = unwrap_node(statement.stmt)
        assert isinstance(node, pg.AlterTableStmt)
        assert [found.subtype for _, found in walk(node) if isinstance(found, pg.AlterTableCmd)] == [pg.AT_SetNotNull]

    def test_postgast_scan_keyword_kind(self) -> None:
        kinds = [token.keyword_kind for token in postgast.scan("animal name table").tokens]
        assert kinds == [pg.NO_KEYWORD, pg.UNRESERVED_KEYWORD, pg.RESERVED_KEYWORD]

    def test_postgast_parse_plpgsql_gives_expressions_by_name(self) -> None:
        assert "'PLpgSQL_expr': {'query': 'SELECT 1'" in str(postgast.parse_plpgsql("DO $$BEGIN PERFORM 1; END$$"))


def test_python_getframe() -> None:
    frame = sys._getframe()  # noqa: SLF001 - what this is about
    assert frame.f_code.co_filename == __file__
    assert frame.f_back is not None
