"""What is promised of a mail while the network breaks and processes die: an acknowledged mail is never lost, none is
sent twice under `hold`, each becomes final soon after the last fault. Counts here are CI's; `script/promises --full` runs
the promised ones.
"""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from fault_proxy import KINDS
from fault_setting import SCALE, SEED, USER_IDS, USERS, Replica, start_setting, stop_setting


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    running = start_setting(str(tmp_path_factory.mktemp("faults")))
    yield running
    stop_setting(running)


def test_of_many_copies_of_a_request_over_three_edges_one_is_sent(setting):
    others = [
        Replica(setting.system, "edge-service", EMAILMCP_MAILER_TARGET=f"ipv4:127.0.0.1:{setting.mailer.port}"),
        Replica(setting.system, "edge-service")]
    edges, keys, copies, before = [setting.edge, *others], 10 if SCALE == 1 else 100 * SCALE, 32, len(setting.ledger())
    for edge in others:
        edge.await_ready()

    def ask(key: int, copy: int) -> str:
        """The id that this copy is answered with, however often it has to ask."""
        headers = {"Idempotency-Key": f"copies-{SEED}-{key}"} | ({"Prefer": "respond-async"} if key % 2 else {})
        deadline = time.monotonic() + 60
        while True:
            answer = setting.post(f"user-{key % USERS}", edge=edges[copy % len(edges)], **headers)
            if answer.status_code in (200, 202):
                return answer.json()["id"]
            # Still in flight, or a busy machine: the key makes asking again safe.
            assert answer.status_code in (409, 503) and time.monotonic() < deadline, answer.text
            time.sleep(0.1)

    ids = set()
    try:
        with ThreadPoolExecutor(copies) as pool:
            for key in range(keys):
                answers = set(pool.map(lambda copy: ask(key, copy), range(copies)))
                assert len(answers) == 1, f"the copies of one request are {len(answers)} mails"
                ids |= answers
    finally:
        for edge in others:
            edge.end()
    assert len(ids) == keys
    setting.judge()
    assert len(setting.ledger()) - before == keys


def test_unknown_is_what_was_made_ambiguous_and_nothing_else(setting):
    # Each for one request of one account; the judge of `failed` and `success` is the ledger.
    faults = [
        ({"accept": True, "close": True}, "unknown"), ({"accept": False, "close": True}, "unknown"),
        ({"status": 500}, "unknown"), ({"status": 503, "accept": True}, "unknown"),
        ({"status": 429, "reason": "rateLimitExceeded"}, "success"), ({"status": 401}, "success"),
        ({"status": 400, "reason": "invalidArgument"}, "failed"), ({"status": 403, "reason": "domainPolicy"}, "failed"),
        ({"delay_ms": 300}, "success"), (None, "success")]
    # In an order of its own for each user, so that no two users meet the same at the same time.
    def of_one_user(number: int) -> list[tuple]:
        own, seen = random.Random(SEED + number), []
        for fault, expected in own.sample(faults * SCALE, len(faults) * SCALE):
            if fault is not None:
                setting.system.fault(route="send", account=f"user-{number}@example.com", **fault)
            answer = setting.post(f"user-{number}")
            if answer.status_code == 200:
                status = answer.json()["status"]
            else:
                status = "unknown" if answer.json()["code"] == "outcome_unknown" else "failed"
            seen.append((fault, expected, status))
        return seen

    with ThreadPoolExecutor(4) as pool:
        seen = [one for some in pool.map(of_one_user, range(4)) for one in some]
    assert not [one for one in seen if one[1] != one[2]]
    setting.judge()


def test_a_network_that_breaks_loses_no_mail_and_sends_none_twice(setting):
    before, rounds, deadline = len(setting.acknowledged), 0, time.monotonic() + 300 * SCALE
    missing = list(KINDS)
    # Connections are used again and again, so each break makes a few new ones.
    with setting.broken_network(gmail=0.9, database=0.6):
        while rounds < 3 * SCALE or missing:
            assert time.monotonic() < deadline, f"seed {SEED}: never happened on both sides: {missing}"
            setting.mailer.await_ready()
            for thread in setting.load(64):
                thread.join()
            setting.mailer.kill()
            setting.mailer.start()
            rounds += 1
            missing = [kind for kind in KINDS if not (setting.gmail.hits[kind] and setting.database.hits[kind])]
    setting.mailer.await_ready()
    print(f"seed {SEED}: faults towards Gmail {setting.gmail.hits}, towards Postgres {setting.database.hits}")
    assert len(setting.acknowledged) - before > 20 * SCALE, setting.gmail.hits
    setting.judge_later()


# In CI every so many calls, up to so many.
@pytest.mark.parametrize("victim, step, most", [("mailer", 5, 400), ("edge", 5, 400), ("Postgres", 8, 24)])
def test_a_kill_at_any_system_call_of_a_send_loses_no_mail_and_sends_none_twice(setting, victim, step, most):
    own, (step, most) = random.Random(SEED), (step, most) if SCALE == 1 else (1, 400)
    replica = {"mailer": setting.mailer, "edge": setting.edge}.get(victim)
    if replica:
        replica.kill()
        # One thread does it all, so that its calls come in one order.
        replica.environment["EMAILMCP_LOOPS"] = "1"
        replica.start()
    kills, survived, number = 0, 0, own.randrange(1, step + 1)
    while survived < 3 and number <= most:
        if replica and replica.process.poll() is not None:
            replica.start()
        for running in (setting.edge, setting.mailer):
            running.await_ready()
        pids = [replica.process.pid] if replica else setting.await_sessions()
        killer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject=all:signal=SIGKILL:when={number}"]
            + [word for pid in pids for word in ("-p", str(pid))], stderr=subprocess.DEVNULL)
        await_traced(pids, killer)
        # A send that waits and one that does not take different ways.
        for headers in [{}, {"Prefer": "respond-async"}]:
            try:
                setting.post(f"user-{own.randrange(USERS)}", timeout=10, **headers)
            except requests.RequestException:
                pass
        try:
            # When Postgres loses a session it ends all of them.
            killer.wait(0.3)
            kills, survived = kills + 1, 0
        except subprocess.TimeoutExpired:
            survived += 1
            killer.terminate()
            killer.wait()
        number += step
    if replica:
        del replica.environment["EMAILMCP_LOOPS"]
        replica.kill()
        replica.start()
    for running in (setting.edge, setting.mailer):
        running.await_ready()
    print(f"seed {SEED}: {victim} killed at {kills} system calls of two sends, every {step}th")
    assert kills >= (2 if SCALE == 1 else 10), f"only {kills} kills"
    setting.judge_later()


def await_traced(pids: list[int], tracer: subprocess.Popen) -> None:
    """Until every thread is traced, or a process has met its end already."""
    deadline = time.monotonic() + 20
    while tracer.poll() is None:
        assert time.monotonic() < deadline, "strace does not attach"
        try:
            states = []
            for pid in pids:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/status") as file:
                        states.append(f"TracerPid:\t{tracer.pid}\n" in file.read())
            if all(states):
                return
        except (FileNotFoundError, ProcessLookupError):
            pass  # a thread that ended meanwhile
        time.sleep(0.01)


def test_killed_mailers_and_edges_and_databases_lose_no_mail_and_send_none_twice(setting):
    before, kills, own = len(setting.acknowledged), {"mailer": 0, "edge": 0, "Postgres": 0}, random.Random(SEED)
    replicas = {"mailer": setting.mailer, "edge": setting.edge}
    # Acknowledged for each kill: 10,000 are promised under 500.
    each, began = 20 if SCALE > 1 else 4, time.monotonic()
    with setting.steady_load():
        while (killed := sum(kills.values())) < 50 * SCALE:
            time.sleep(own.uniform(0.05, 0.3))
            # Each fourth time Postgres is one of the two.
            victims = [own.choice(list(replicas)), "Postgres"] if killed % 8 == 6 else list(replicas)
            own.shuffle(victims)
            for victim in victims:
                if victim == "Postgres":
                    setting.crash_database()
                else:
                    replicas[victim].kill()
                kills[victim] += 1
            for victim in victims:
                if victim in replicas:
                    replicas[victim].start()
            deadline = time.monotonic() + 60
            # So that each kill meets mails under way, and as many are acknowledged in the end as is promised.
            while len(setting.acknowledged) - before < each * (killed + len(victims)):
                assert time.monotonic() < deadline, f"seed {SEED}: nothing is acknowledged any more after {kills}"
                time.sleep(0.02)
    acknowledged, took = len(setting.acknowledged) - before, time.monotonic() - began
    print(f"seed {SEED}: {acknowledged} acknowledged under kills of {kills} in {took:.0f} s")
    assert sum(kills.values()) >= 50 * SCALE and min(kills.values()) >= 6 * SCALE, kills
    assert acknowledged >= each * 50 * SCALE
    setting.mailer.await_ready()
    setting.judge_later()


def test_mailers_that_sleep_past_their_leases_send_nothing_late(setting):
    # More sleepers make more rounds at once; the system's own mailer takes over from all of them.
    mailers, edges = [setting.mailer], [setting.edge]
    for _ in range(1 if SCALE == 1 else 3):
        mailers.append(Replica(setting.system, "mailer-service"))
        edges.append(Replica(
            setting.system, "edge-service", EMAILMCP_MAILER_TARGET=f"ipv4:127.0.0.1:{mailers[-1].port}"))
    for replica in mailers + edges:
        replica.await_ready()
    rounds, taken, wanted = 0, {}, 200 if SCALE > 1 else len(mailers)
    try:
        # Half of the users wait for a token, which comes before a mail's intent.
        with setting.slow_google(answer_ms=300, token_ms=2000, users=USER_IDS[::2]):
            while rounds < wanted:
                # Nobody asks those who sleep, or all who ask would soon be waiting for them.
                awake = list(edges)
                with setting.steady_load(edges=awake, repeated=1 / 3):
                    for number, mailer in enumerate(mailers):
                        held = setting.stop_at_work(mailer, has_intent=(number + rounds // len(mailers)) % 2 == 1)
                        taken |= held
                        awake.pop(0)
                setting.await_taken_over(mailers)
                for mailer in mailers:
                    mailer.process.send_signal(signal.SIGCONT)
                rounds += len(mailers)
    finally:
        for replica in [*mailers[1:], *edges[1:]]:
            replica.end()
    mails = setting.judge()
    # Who took a mail over had to know by its intent, and by its sender's wish, what to do.
    wrong = {
        id: (has_intent, mails[id]) for id, has_intent in taken.items()
        if mails[id].status != ("unknown" if has_intent and not mails[id].may_repeat else "success")}
    assert not wrong, f"seed {SEED}: {wrong}"
    began = sum(taken.values())
    print(f"seed {SEED}: in {rounds} sleeps {len(taken)} mails were taken over, {began} of them with intent")
    assert began >= rounds // 2 and len(taken) - began >= rounds // 2
