"""`emailmcp dev` itself: the printed lines, the second run, ports in use, killed children."""

import os
import re
import signal
import subprocess
import time

from conftest import BIN, start_system


def test_the_printed_lines_work_when_pasted_and_a_second_run_has_the_data_of_the_first(tmp_path):
    data = str(tmp_path / "data")
    first = start_system(data)
    lines = [line.strip() for line in first.log().splitlines() if line.strip().startswith("curl ")]
    connect, send, report = lines[:3]
    paste = lambda line: subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30).stdout
    assert '"gmail_connected":true' in paste(connect)
    assert '"status":"success"' in paste(send)
    assert '"total_emails":1' in paste(report)
    assert first.stop() == 0

    second = start_system(data)
    try:
        assert second.summary["key"] == first.summary["key"]
        crm = second.crm()
        assert crm.status("ada")["status"] == "active"
        assert crm.report("ada")["total_emails"] == 1
        assert crm.send("ada", {"to": ["grace@example.com"], "body": "x"})[0]
    finally:
        assert second.stop(signal.SIGTERM) == 0


def test_a_second_one_on_the_same_folder_is_refused(tmp_path):
    data = str(tmp_path / "data")
    running = start_system(data)
    try:
        other = subprocess.run([f"{BIN}/emailmcp", "dev", "--data", data, "--random-ports"], capture_output=True, text=True)
        assert other.returncode == 1
        assert "another `emailmcp dev` uses" in other.stdout
    finally:
        assert running.stop() == 0


def test_a_killed_child_stops_everything_with_a_clear_message(tmp_path):
    running = start_system(str(tmp_path / "data"))
    mailer = int(re.search(r"\d+", subprocess.run(
        ["pgrep", "-P", str(running.process.pid), "-f", "mailer-service"], capture_output=True, text=True).stdout)[0])
    os.kill(mailer, signal.SIGKILL)
    assert running.process.wait(60) == 1
    assert "mailer was killed by signal 9" in running.log()
    assert not children_of(running.process.pid)


def test_when_it_is_killed_itself_no_child_outlives_it(tmp_path):
    running = start_system(str(tmp_path / "data"))
    children = children_of(running.process.pid)
    assert len(children) == 6
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 15
    while any(os.path.exists(f"/proc/{child}") and not is_zombie(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def children_of(pid: int) -> list[int]:
    return [int(line) for line in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]


def is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
