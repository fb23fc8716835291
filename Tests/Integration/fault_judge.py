"""What is promised of mails, as a judgement over values: what was acknowledged, what the log says, what Gmail took."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta


# The metadata of mail that its sender lets be sent again where its fate is unknown.
MAY_REPEAT = {"on_ambiguous": "retry"}


@dataclass(frozen=True)
class Mail:
    """A mail as the log has it."""

    user: str
    status: str
    created_at: str
    sent_at: str | None = None  # when its outcome was known
    may_repeat: bool = False

    @staticmethod
    def of(user: str, item: dict) -> "Mail":
        return Mail(user, item["status"], item["created_at"], item["sent_at"], item["metadata"] == MAY_REPEAT)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def breaches(
        acknowledged: set[str], mails: dict[str, Mail], ledger: dict[str, list[str]], reported: dict[str, dict],
        held: timedelta = timedelta(), held_until: str | None = None) -> list[str]:
    """Every broken promise, in words; all mails are final.

    `ledger`: when each mail was taken, by Gmail's own clock, which is that of the log: one machine. `reported`: the
    figures of each user's report. `held`: a network that keeps bytes back delivers them that much after their sender has
    given up; so it may have been with mails created up to `held_until`.
    """
    found = [f"acknowledged and lost: {id}" for id in acknowledged - mails.keys()]
    for id, times in ledger.items():
        if len(times) > 1 and not (id in mails and mails[id].may_repeat):
            found.append(f"sent {len(times)} times: {id}")
        if id not in mails:
            found.append(f"sent and not in the log: {id}")
    for id, mail in mails.items():
        times = ledger.get(id, [])
        if mail.status == "success" and not times:
            found.append(f"called sent and not in the ledger: {id}")
        if mail.status in ("failed", "cancelled") and times:
            found.append(f"called {mail.status} and sent: {id}")
        # Nobody who has no right to a mail any more sends it: whoever recorded the outcome was the last to have it.
        if times and mail.sent_at:
            was_held = held_until is not None and moment(mail.created_at) <= moment(held_until)
            late = moment(max(times)) - moment(mail.sent_at) - (held if was_held else timedelta())
            if late > timedelta():
                found.append(f"called {mail.status} and then sent, {late} late: {id}")
    # A write of somebody whose lease is another's would count a mail twice.
    names = {"success": "successful_emails", "failed": "failed_emails", "unknown": "unknown_emails"}
    for user, report in reported.items():
        counts = Counter(mail.status for mail in mails.values() if mail.user == user)
        for status, name in names.items():
            if counts[status] != report[name]:
                found.append(f"{counts[status]} mails of {user} are {status}, {report[name]} are reported")
    return found
