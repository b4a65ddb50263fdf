"""Row verbs with ORM classes: the record is the instance of the Session."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Numeric, Text, TypeDecorator, create_engine
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from idemdb import Idem


class Mood(enum.Enum):
    SAD = 1
    HAPPY = 2


class Shout(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.upper()

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.lower()


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column("the code", unique=True)
    mood: Mapped[Mood | None]
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    doc: Mapped[Any] = mapped_column(JSONB)
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    shout: Mapped[str | None] = mapped_column(Shout)
    state: Mapped[str] = mapped_column(default="new")


@pytest.fixture(params=["psycopg", "psycopg2"])
def session(request: pytest.FixtureRequest, dsn: str) -> Iterator[Session]:
    engine = create_engine(dsn.replace("postgresql:", f"postgresql+{request.param}:"))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_every_type_and_the_identity_map(session: Session) -> None:
    idem = Idem(session)
    values = {"code": "a", "mood": Mood.HAPPY, "tags": ["x"], "doc": {"n": 1}, "shout": "hey"}
    made = idem.create(Thing, {**values, "price": Decimal("1.234")})
    thing = made.record
    assert made.created
    assert isinstance(thing, Thing)
    assert thing in session
    assert {name: getattr(thing, name) for name in values} == values
    assert (thing.price, thing.state) == (Decimal("1.23"), "new")
    assert session.get(Thing, thing.id) is thing
    assert idem.put(Thing, {**values, "price": Decimal("1.234")}).outcome == "unchanged"
    put: Any = idem.put(Thing, {"code": "a", "mood": Mood.SAD})
    assert put.outcome == "updated"
    assert put.record is thing
    assert put.record.mood is Mood.SAD
    assert idem.create(Thing, {"code": "a", "mood": Mood.HAPPY}).differs == ("mood",)
    assert idem.delete(Thing, {"code": "a"}).outcome == "deleted"
    session.commit()
    assert session.query(Thing).count() == 0


def test_pending_objects_are_written_first(session: Session) -> None:
    session.add(Thing(code="a", doc={}))
    assert Idem(session).create(Thing, {"code": "a"}).outcome == "existing"
