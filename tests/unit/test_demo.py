"""The demo without a server: its input, its faults, and what it counts."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from idemdb import resources
from idemdb.demo.faults import Fault, plan
from idemdb.demo.ledger import Charge, Numbers, count
from idemdb.demo.progress import Answer, Progress, Receipt
from idemdb.demo.requests import InputError, PaymentRequest, read

GOOD = {"scope": "ann/pay", "key": "k1", "amount": 500, "currency": "EUR"}
GENERATOR = Path(__file__).parents[2] / "examples/pay_three_times/generate.py"


def file(tmp_path: Path, *lines: Any) -> Path:
    path = tmp_path / "input.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


class TestInput:
    """Files of payment requests."""

    def test_the_numbers_are_the_lines_of_the_file(self, tmp_path: Path) -> None:
        found = read(file(tmp_path, GOOD, "", GOOD | {"note": "again"}, ""))
        assert found == [
            PaymentRequest(1, "ann/pay", "k1", 500, "EUR"),
            PaymentRequest(3, "ann/pay", "k1", 500, "EUR"),
        ]

    @pytest.mark.parametrize(
        ("line", "what"),
        [
            ("{", "not JSON: .* at column 2"),
            ("[" * 100_000, "not JSON"),
            ("9" * 5000, "not JSON"),
            ("[]", "not a JSON object"),
            (GOOD | {"amuont": 1}, 'unknown member "amuont" .there are scope, key'),
            ({"scope": "a", "key": "b", "amount": 1}, "currency is missing"),
            (GOOD | {"scope": ""}, "scope must be printable text"),
            (GOOD | {"key": "ä" * 128}, "key must be printable text of 1 to 255 octets"),
            (GOOD | {"key": "a\0b"}, "key must be printable text"),
            (GOOD | {"key": "\ud800"}, "key must be printable text"),
            (GOOD | {"scope": "\033[2J"}, "scope must be printable text"),
            (GOOD | {"key": 7}, "key must be printable text"),
            (GOOD | {"amount": 0}, "amount must be a whole number"),
            (GOOD | {"amount": 4.5}, "amount must be a whole number"),
            (GOOD | {"amount": True}, "amount must be a whole number"),
            (GOOD | {"amount": 10**16}, "amount must be a whole number"),
            (GOOD | {"currency": "euro"}, "currency must be three capital letters"),
            (GOOD | {"note": 1}, "note must be text"),
        ],
    )
    def test_a_wrong_line_is_named(self, tmp_path: Path, line: Any, what: str) -> None:
        with pytest.raises(InputError, match=f"input.jsonl, line 2: .*{what}"):
            read(file(tmp_path, GOOD, line))

    def test_all_mistakes_at_once_but_not_thousands(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            read(file(tmp_path, {}, GOOD, *["{"] * 100))
        first, *others = str(caught.value).splitlines()
        assert "line 1: scope is missing; key is missing; amount is missing" in first
        assert len(others) == 10
        assert others[-1] == "… and 91 more"

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no payment request"):
            read(file(tmp_path, "", ""))

    def test_not_utf_8(self, tmp_path: Path) -> None:
        path = tmp_path / "latin.jsonl"
        path.write_bytes(b'{"scope": "J\xfcrgen"}')
        with pytest.raises(InputError, match="not UTF-8 at octet 13"):
            read(path)

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="No such file"):
            read(tmp_path / "nowhere.jsonl")


class TestExample:
    """examples/pay_three_times/payments.jsonl."""

    def test_it_is_what_its_generator_writes(self) -> None:
        spec = importlib.util.spec_from_file_location("generate", GENERATOR)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert [json.loads(line) for line in resources.PAYMENTS.read_text().splitlines()] == module.lines()

    def test_it_has_every_kind_of_repeat(self) -> None:
        requests = read(resources.PAYMENTS)
        clicks = Counter((request.payment, request.amount) for request in requests)
        amounts = Counter(payment for payment, _ in clicks)
        users = Counter(key for _, key in amounts)
        lines: dict[tuple[str, str], list[int]] = {}
        for request in requests:
            lines.setdefault(request.payment, []).append(request.number)
        assert len(requests) > 300
        assert list(clicks.values()).count(3) >= 20
        assert list(amounts.values()).count(2) >= 5
        assert list(users.values()).count(2) >= 5
        assert sum(numbers[-1] - numbers[0] > 50 for numbers in lines.values()) >= 10


class TestFaults:
    """The plan of faults."""

    def test_a_seed_decides(self) -> None:
        requests = read(resources.PAYMENTS)
        assert plan(requests, 1) == plan(requests, 1) != plan(requests, 2)

    def test_every_kind_hits_a_first_request(self) -> None:
        requests = read(resources.PAYMENTS)
        planned = plan(requests, 1)
        assert set(planned.values()) == set(Fault)
        by_number = {request.number: request for request in requests}
        for number in planned:
            assert all(
                other.number >= number for other in requests if other.payment == by_number[number].payment
            )

    def test_even_one_request_meets_one(self) -> None:
        assert list(plan([PaymentRequest(7, "a", "b", 1, "EUR")], 1)) == [7]


class TestCount:
    """What is counted, from the table of charges and the answers."""

    requests = (
        PaymentRequest(1, "a", "k", 500, "EUR"),
        PaymentRequest(2, "a", "k", 500, "EUR"),
        PaymentRequest(3, "a", "k", 900, "EUR"),
        PaymentRequest(4, "b", "k", 700, "EUR"),
    )
    charges = (Charge(1, "a", "k", 500, "EUR", 1), Charge(2, "b", "k", 700, "EUR", 4))

    def numbers(
        self, charges: tuple[Charge, ...] = charges, answers: dict[int, Receipt | None] | None = None
    ) -> Numbers:
        told = {1: Receipt(1, 500, "EUR"), 2: Receipt(1, 500, "EUR"), 3: None, 4: Receipt(2, 700, "EUR")}
        told |= answers or {}
        progress = Progress({number: Answer(receipt, 2.0) for number, receipt in told.items()})
        return count(self.requests, charges, progress)

    def test_all_is_well(self) -> None:
        found = self.numbers()
        assert (found.requests, found.payments) == (4, 2)
        assert (found.charges, found.replays, found.refused) == (2, 1, 1)
        assert (found.charges_by_resends, found.double_charges, found.lost) == (0, 0, 0)
        assert found.ms_per_request == 2

    def test_charged_by_another_request(self) -> None:
        found = self.numbers((*self.charges, Charge(3, "a", "k", 500, "EUR", 2)))
        assert (found.charges, found.replays, found.double_charges) == (3, 0, 1)

    def test_charged_again_by_a_resend(self) -> None:
        found = self.numbers((*self.charges, Charge(3, "a", "k", 500, "EUR", 1)))
        assert (found.charges, found.charges_by_resends, found.double_charges) == (2, 1, 1)

    def test_a_payment_without_a_charge_is_lost(self) -> None:
        found = self.numbers(self.charges[:1])
        assert (found.lost, found.double_charges) == (1, 0)

    @pytest.mark.parametrize(
        ("number", "receipt"),
        [
            (2, Receipt(2, 700, "EUR")),  # another user's
            (2, Receipt(9, 500, "EUR")),  # of no charge
            (3, Receipt(1, 500, "EUR")),  # of another request
            (4, Receipt(2, 1, "EUR")),  # with another amount
        ],
    )
    def test_a_wrong_receipt_is_a_loss(self, number: int, receipt: Receipt) -> None:
        assert self.numbers(answers={number: receipt}).lost == 1
