"""Frames in and out of the database as Arrow, through ADBC, in one transaction on one connection.

Works on ADBC's own classes instead of its DB-API module: that one imports pyarrow and pandas (1.8 s CPU, 100 MB), while
polars and the drivers exchange Arrow by themselves. Frames are staged in a temporary table, from which one statement
takes them. Knows no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import adbc_driver_manager as adbc
import polars as pl

from engage_sync.state.backend import Backend, Row

Schema = Mapping[str, type[pl.DataType]]
SQLITE_BATCH_ROWS = "16384"
MANY_ROWS = 10_000


class Arrow:
    """One ADBC connection, always within a transaction."""

    def __init__(self, backend: Backend) -> None:
        """Open a connection and begin."""
        self.backend = backend
        self._staged: set[str] = set()
        self.wrote = False
        """Whether the transaction under way changed something."""
        self._database = backend.arrow()
        try:
            self._connection = adbc.AdbcConnection(self._database)
            for setting in backend.arrow_settings():
                self._query(setting)
            self._connection.set_autocommit(False)
        except BaseException:
            self._database.close()
            raise

    def commit(self) -> None:
        """Keep what was written, and begin again."""
        self._connection.commit()
        self.wrote = False

    def drop_staged(self) -> None:
        """Drop every staged frame, for the next user of this connection."""
        if self._staged:
            for name in self._staged:
                self.run(f"DROP TABLE IF EXISTS {name}")
            self.commit()
            self._staged.clear()

    def alive(self) -> bool:
        """Ask whether the other side still answers."""
        try:
            self._query("SELECT 1")
        except adbc.Error:
            return False
        return True

    def close(self) -> None:
        """Close the connection; what was not committed is dropped, by the database itself."""
        self._connection.close()
        self._database.close()

    def stage(self, name: str, frame: pl.DataFrame) -> None:
        """Put a frame into the temporary table `name`, which ends with the transaction."""
        with adbc.AdbcStatement(self._connection) as statement:
            statement.set_options(
                **{
                    adbc.INGEST_OPTION_TARGET_TABLE: name,
                    adbc.INGEST_OPTION_MODE: adbc.INGEST_OPTION_MODE_CREATE,
                    adbc.StatementOptions.INGEST_TEMPORARY.value: "true",
                }
            )
            statement.bind_stream(frame.rechunk())
            statement.execute_update()
        self._staged.add(name)
        self._look_at(name)

    def grown(self, table: str, rows: int) -> None:
        """Tell that many rows came into a table, before the database has noticed by itself."""
        if rows >= MANY_ROWS:
            self._look_at(table)

    def _look_at(self, table: str) -> None:
        """Have PostgreSQL count a table. Of one it has not looked at yet it guesses a few rows, and joins a million of
        them with thousands row by row: minutes instead of seconds."""
        if self.backend.dialect == "postgresql":
            self.run(f"ANALYZE {table}")

    def run(self, sql: str) -> int:
        """Run one statement; give the number of rows it changed, -1 where the driver does not say."""
        self.wrote = True
        with adbc.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(sql)
            return int(statement.execute_update())

    def first(self, sql: str) -> Row | None:
        """Give the first row of a query, None without one."""
        found = self._query(sql)
        return None if found.is_empty() else found.row(0)

    def read(self, sql: str, schema: Schema) -> pl.DataFrame:
        """Give the rows of a query as a frame of exactly this schema; the query names its columns in that order.

        SQLite has values with types, not columns with types: the driver takes a column's type from the first rows, and
        fails on text after nulls. A row in front that has every type right settles it, and is dropped here.
        """
        if self.backend.dialect == "sqlite":
            typed = ", ".join(f"{_example(dtype)} AS {quoted(name)}" for name, dtype in schema.items())
            frame = self._query(f"SELECT {typed} UNION ALL SELECT * FROM ({sql})").slice(1)
        else:
            frame = self._query(sql)
        if frame.schema == pl.Schema(schema):
            return frame
        return frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())

    def batches(self, sql: str, schema: Schema) -> Iterator[pl.DataFrame]:
        """Give the same in frames of some thousands of rows, so that memory stays flat."""
        import pyarrow as pa  # noqa: PLC0415 - heavy, and only a backup needs it

        first = self.backend.dialect == "sqlite"
        if first:
            typed = ", ".join(f"{_example(dtype)} AS {quoted(name)}" for name, dtype in schema.items())
            sql = f"SELECT {typed} UNION ALL SELECT * FROM ({sql})"
        with adbc.AdbcStatement(self._connection) as statement:
            if first:
                statement.set_options(**{"adbc.sqlite.query.batch_rows": SQLITE_BATCH_ROWS})
            statement.set_sql_query(sql)
            stream, _ = statement.execute_query()
            with pa.RecordBatchReader.from_stream(stream) as reader:
                for batch in reader:
                    frame = pl.DataFrame(batch)
                    yield frame.slice(int(first)).select(pl.col(name).cast(dtype) for name, dtype in schema.items())
                    first = False

    def upsert(self, table: str, keys: Sequence[str], frame: pl.DataFrame) -> int:
        """Insert the rows of a frame, or replace those with the same key, writing only rows that differ."""
        columns = list(frame.columns)
        held = self.read(
            f"SELECT {', '.join(columns)} FROM {table}", {name: type(dtype) for name, dtype in frame.schema.items()}
        )
        changed = frame.join(held, on=columns, how="anti", nulls_equal=True)
        if changed.is_empty():
            return 0
        self.stage("staged", changed)
        rest = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
        self.run(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns)} FROM staged WHERE TRUE"
            f" ON CONFLICT ({', '.join(keys)}) DO {f'UPDATE SET {rest}' if rest else 'NOTHING'}"
        )
        self.run("DROP TABLE staged")
        return changed.height

    def _query(self, sql: str) -> pl.DataFrame:
        with adbc.AdbcStatement(self._connection) as statement:
            if self.backend.dialect == "sqlite":
                statement.set_options(**{"adbc.sqlite.query.batch_rows": SQLITE_BATCH_ROWS})
            statement.set_sql_query(sql)
            stream, _ = statement.execute_query()
            try:
                return pl.DataFrame(stream)
            finally:
                stream.release()


def quoted(name: str) -> str:
    """Write a name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Write a text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _example(dtype: type[pl.DataType]) -> str:
    return {pl.String: "''", pl.Binary: "x'00'", pl.Float64: "0.0"}.get(dtype, "0")
