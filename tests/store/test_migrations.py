"""Tables are made, brought up to date and taken back, on both databases, without losing rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from recording import a_record, written
from sqlalchemy import Index, MetaData, inspect, text

from moderation_service.errors import ConfigurationError
from moderation_service.store import migration
from moderation_service.store.database import Database
from moderation_service.store.schema import apps, keys, metadata


def test_the_migrations_make_the_tables_of_the_schema(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        # What a column is for stands in the code, not in the database.
        wanted = _of_dialect(connection.dialect.name)
        found = [
            step for one in compare_metadata(context, wanted) for step in (one if isinstance(one, list) else [one])
        ]
        assert [step for step in found if step[0] not in ("modify_comment", "add_table_comment")] == []
        assert migration.version(connection) == migration.newest()


def _of_dialect(dialect: str) -> MetaData:
    """The schema without the indexes that are of another database, which Alembic doesn't leave out by itself."""
    own = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        others = [_shape(one) for one in table.indexes if one._ddl_if and one._ddl_if.dialect != dialect]
        copy = table.to_metadata(own)
        copy.indexes = {one for one in copy.indexes if _shape(one) not in others}
    return own


def _shape(index: Index) -> tuple[str | None, list[str]]:
    return index.name, index.columns.keys()


def test_the_tables_can_be_taken_back_and_made_again(database: Database) -> None:
    written(database, a_record())
    engine = database.engine()
    migration.downgrade(engine, to="base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    migration.upgrade(engine)
    assert set(inspect(engine).get_table_names()) == {"alembic_version", *metadata.tables}
    written(database, a_record())


def test_each_step_back_and_forth_keeps_the_records(database: Database) -> None:
    written(database, a_record())
    engine = database.engine()
    for earlier in [one.revision for one in migration._scripts().walk_revisions()][1:]:
        migration.downgrade(engine, to=earlier)
        migration.upgrade(engine)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM decisions")).scalar_one() == 1
        assert migration.version(connection) == migration.newest()


def test_every_constraint_has_a_name(database: Database) -> None:
    for table in metadata.tables.values():
        assert all(one.name for one in table.constraints), table.name


def test_tables_of_a_newer_program_are_refused(database: Database, url: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer = Database(url)
    with pytest.raises(ConfigurationError, match="newer program"):
        newer.prepare()
    newer.close()


def test_a_table_that_is_made_anew_keeps_the_rows_that_refer_to_it(
    database: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What SQLite does for a new column takes the rows of other tables along, if foreign keys are on.
    with database.write() as connection:
        connection.execute(apps.insert().values(id=1, name="shop", content="{}", created_at=1, updated_at=1))
        connection.execute(keys.insert().values(app_id=1, name="a", digest=b"1" * 32, created_at=1))
    database.close()
    for path in Path(migration.__file__).parent.joinpath("migrations").glob("v*.py"):
        tmp_path.joinpath(path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    tmp_path.joinpath("later.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        f"revision = 'later'\ndown_revision = '{migration.newest()}'\n"
        "def how():\n"
        "    return 'always' if op.get_bind().dialect.name == 'sqlite' else 'auto'\n"
        "def upgrade():\n"
        "    with op.batch_alter_table('apps', recreate=how()) as batch:\n"
        "        batch.add_column(sa.Column('colour', sa.Text()))\n"
        "def downgrade():\n"
        "    with op.batch_alter_table('apps', recreate=how()) as batch:\n"
        "        batch.drop_column('colour')\n",
        encoding="utf-8",
    )
    earlier = migration.newest()
    monkeypatch.setattr(migration, "_FOLDER", tmp_path)
    migration._scripts.cache_clear()
    later = Database(url)
    try:
        later.prepare()
        with later.read() as connection:
            assert migration.version(connection) == "later"
            assert connection.execute(keys.select()).one().name == "a"
        migration.downgrade(later.engine(), to=earlier)
        with later.write() as connection:
            assert connection.execute(keys.select()).one().name == "a"
            # They are on again: the key goes with its app.
            connection.execute(apps.delete())
            assert connection.execute(keys.select()).all() == []
    finally:
        later.close()
        monkeypatch.undo()
        migration._scripts.cache_clear()


@pytest.mark.store
def test_processes_that_start_together_make_the_tables_once(url: str) -> None:
    script = "import sys; from moderation_service.store.database import Database; Database(sys.argv[1]).prepare()"
    started = [subprocess.Popen([sys.executable, "-c", script, url], stderr=subprocess.PIPE) for _ in range(4)]
    assert [(one.communicate()[1], one.returncode) for one in started] == [(b"", 0)] * 4
