"""The tables of the daemon, declared as in `tables.py`: who works, what is due, what was told, and tallies."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Text
from sqlmodel import Field, SQLModel


class LeaseRow(SQLModel, table=True):
    """Who may do something that only one process may do, and until when, in seconds of the database's clock since 1970.
    `token` grows with every taking."""

    __tablename__: ClassVar[str] = "engage_lease"
    name: str = Field(primary_key=True)
    token: int
    holder: str
    host: str
    place: str
    pid: int
    since: str
    renewed_at: float
    expires_at: float


class JobRow(SQLModel, table=True):
    """A job of the daemon: its schedule, the instant that it is due next, and how it went last."""

    __tablename__: ClassVar[str] = "engage_job"
    name: str = Field(primary_key=True)
    schedule: str
    due: str
    started_at: str | None
    ended_at: str | None
    run: int | None
    status: str | None
    exit: int | None
    succeeded_at: str | None
    message: str | None = Field(sa_type=Text)


class AlertRow(SQLModel, table=True):
    """Something that fails, or has failed, since when, and what is still to be told to whom."""

    __tablename__: ClassVar[str] = "engage_alert"
    name: str = Field(primary_key=True)
    since: str
    sentence: str = Field(sa_type=Text)
    ended_at: str | None
    pending: str | None = Field(sa_type=Text)


class TallyRow(SQLModel, table=True):
    """How often something happened in all; `labels` as JSON with sorted keys."""

    __tablename__: ClassVar[str] = "engage_tally"
    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    count: int = Field(sa_type=BigInteger)
