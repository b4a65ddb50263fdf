"""``run`` over a Session: its objects follow the savepoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from idemdb import Answer, Idem, Op


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)


class Payment(Base):
    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[int] = mapped_column(ForeignKey("customer.id"))


@pytest.fixture(params=["psycopg", "psycopg2"])
def session(request: pytest.FixtureRequest, dsn: str) -> Iterator[Session]:
    engine = create_engine(dsn.replace("postgresql:", f"postgresql+{request.param}:"))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


def _payments(session: Session) -> list[int]:
    return list(session.scalars(select(Payment.id).order_by(Payment.id)))


def test_objects_of_the_handler_are_flushed_with_it(session: Session) -> None:
    session.add(Customer(id=1))

    def pay(op: Op) -> dict[str, Any]:
        op.connection.add(Payment(id=7, customer=1))
        return {"payment": 7}

    assert Idem(session).run("s", "k", pay).value == {"payment": 7}
    assert not session.new
    session.commit()
    assert _payments(session) == [7]


def test_a_flush_that_fails_takes_the_claim_back(session: Session) -> None:
    session.add(Customer(id=1))

    def pay(op: Op) -> str:
        op.connection.add(Payment(id=7, customer=2))
        return "paid, or so it seems"

    with pytest.raises(IntegrityError):
        Idem(session).run("s", "k", pay)
    session.add(Payment(id=8, customer=1))
    session.commit()
    assert _payments(session) == [8]
    assert Idem(session).lookup("s", "k").state == "unknown"


def test_objects_of_a_handler_that_answers_no_are_gone(session: Session) -> None:
    session.add(Customer(id=1))

    def pay(op: Op) -> None:
        op.connection.add(Payment(id=7, customer=1))
        raise Answer(status=402)

    assert Idem(session).run("s", "k", pay).claim.status == 402
    session.commit()
    assert _payments(session) == []
    assert session.get(Customer, 1) is not None
    assert Idem(session).run("s", "k", pay).replayed


def test_a_leased_run_commits_the_objects(session: Session) -> None:
    session.add(Customer(id=1))
    session.commit()

    def pay(op: Op) -> int:
        op.connection.add(Payment(id=7, customer=1))
        op.step("charge", lambda: "charged")
        op.connection.add(Payment(id=8, customer=1))
        raise Answer(status=402)

    assert Idem(session).run("s", "k", pay, lease=60).claim.status == 402
    assert _payments(session) == [7]
