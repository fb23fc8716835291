"""The judge of the promises judges: what keeps them passes, and each way to break one is found out."""

from datetime import timedelta

from fault_judge import Mail, breaches

BEGAN, BEFORE, ENDED, AFTER = (f"2026-11-22T10:39:0{second}.000Z" for second in range(4))
REPORT = {"successful_emails": 0, "failed_emails": 0, "unknown_emails": 0}


def judge(status: str, taken: list[str], reported: dict = {}, may_repeat: bool = False, **how) -> list[str]:
    """One mail whose outcome was known at ENDED."""
    counted = {"success": "successful_emails", "failed": "failed_emails", "unknown": "unknown_emails"}
    report = REPORT | ({counted[status]: 1} if status in counted else {}) | reported
    mail = Mail("user", status, BEGAN, ENDED if status in counted else None, may_repeat)
    return breaches({"mail"}, {"mail": mail}, {"mail": taken} if taken else {}, {"user": report}, **how)


def test_kept_promises_pass():
    assert judge("success", [BEFORE]) == judge("unknown", [BEFORE]) == judge("unknown", []) == []
    assert judge("success", [ENDED]) == judge("failed", []) == judge("cancelled", []) == []


def test_a_mail_that_was_recorded_unknown_and_then_sent_is_late():
    assert judge("unknown", [AFTER]) == ["called unknown and then sent, 0:00:01 late: mail"]
    assert judge("success", [AFTER]) == ["called success and then sent, 0:00:01 late: mail"]


def test_only_mail_that_may_be_repeated_is_sent_twice_and_none_of_it_late():
    assert judge("success", [BEFORE, ENDED], may_repeat=True) == []
    assert judge("success", [BEFORE, ENDED]) == ["sent 2 times: mail"]
    assert judge("success", [BEFORE, AFTER], may_repeat=True) == ["called success and then sent, 0:00:01 late: mail"]


def test_a_network_that_holds_bytes_back_excuses_as_much_and_only_while_it_does():
    assert judge("unknown", [AFTER], held=timedelta(seconds=1), held_until=BEGAN) == []
    assert judge("unknown", [AFTER], held=timedelta(seconds=0.9), held_until=BEGAN) != []
    assert judge("unknown", [AFTER], held=timedelta(seconds=1), held_until="2026-11-22T10:38:59.000Z") != []


def test_a_stale_write_that_counted_a_mail_again_is_found():
    assert judge("unknown", [BEFORE], {"successful_emails": 1}) == ["0 mails of user are success, 1 are reported"]


def test_lost_and_doubled_and_miscalled_mails_are_found():
    assert judge("success", [BEFORE, BEFORE]) == ["sent 2 times: mail"]
    assert judge("success", []) == ["called sent and not in the ledger: mail"]
    assert judge("failed", [BEFORE]) == ["called failed and sent: mail"]
    assert judge("cancelled", [BEFORE]) == ["called cancelled and sent: mail"]
    assert breaches({"mail"}, {}, {}, {}) == ["acknowledged and lost: mail"]
    assert breaches(set(), {}, {"mail": [BEFORE]}, {}) == ["sent and not in the log: mail"]
