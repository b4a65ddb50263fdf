"""Count the mails that arrived, by the charges that they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from idemdb.demo.ledger import Charge
from idemdb.demo.mailserver import Mail
from idemdb.demo.progress import Progress


@dataclass(frozen=True)
class MailNumbers:
    """What arrived at the mail server of one side.

    :param mails: that are due: one for each payment that was charged.
    :param mails_sent: that the mail server accepted.
    :param mail_ids: different Message-IDs of those: what is left when a mailbox drops repeats.
    :param mail_duplicates: mails beyond the first of their payment.
    :param mails_lost: charges that no mail tells of.
    :param mails_untrue: mails that tell of a charge that is not in the table.
    :param relay_crashes: relays killed with SIGKILL.
    """

    mails: int
    mails_sent: int
    mail_ids: int
    mail_duplicates: int
    mails_lost: int
    mails_untrue: int
    relay_crashes: int


def count(charges: Sequence[Charge], mails: Sequence[Mail], progress: Progress) -> MailNumbers:
    """Count what a side mailed.

    :param charges: all of the table.
    :param mails: all that the mail server accepted.
    :param progress: of the side.
    """
    payments = {charge.id: (charge.scope, charge.key) for charge in charges}
    told = [mail.charge for mail in mails if mail.charge in payments]
    return MailNumbers(
        mails=len(set(payments.values())),
        mails_sent=len(mails),
        mail_ids=len({mail.message_id for mail in mails}),
        mail_duplicates=len(told) - len({payments[charge] for charge in told}),
        mails_lost=len(payments.keys() - set(told)),
        mails_untrue=len(mails) - len(told),
        relay_crashes=progress.relay_crashes,
    )
