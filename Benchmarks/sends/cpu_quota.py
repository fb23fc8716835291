"""A bound on the CPU time of a process: a group of its own under the kernel's cpu controller (cgroup version 2 or 1)."""

import os

PERIOD = 20_000
"""µs. Short, so that a process that has used its share waits milliseconds and not tenths of a second; the kernel gives no
less than 1,000 µs of it."""


class CPUQuota:
    """As a context; raises OSError where the system does not let us (it takes root and a writable cpu controller)."""

    def __init__(self, name: str, share: float):
        self.parent, self.is_unified = controller()
        self.folder = os.path.join(self.parent, f"emailmcp-bench-{os.getpid()}-{name}")
        os.mkdir(self.folder)
        quota = max(1_000, int(PERIOD * share))
        if self.is_unified:
            self.write("cpu.max", f"{quota} {PERIOD}")
        else:
            self.write("cpu.cfs_period_us", str(PERIOD))
            self.write("cpu.cfs_quota_us", str(quota))
        self.share = quota / PERIOD

    def write(self, file: str, text: str) -> None:
        with open(os.path.join(self.folder, file), "w") as opened:
            opened.write(text)

    def admit(self, pid: int) -> None:
        self.write("cgroup.procs", str(pid))

    def __enter__(self) -> "CPUQuota":
        return self

    def __exit__(self, *_) -> None:
        with open(os.path.join(self.folder, "cgroup.procs")) as file:
            pids = file.read().split()
        for pid in pids:
            with open(os.path.join(self.parent, "cgroup.procs"), "w") as opened:
                opened.write(pid)
        os.rmdir(self.folder)


def controller() -> tuple[str, bool]:
    """The folder to make groups in, and whether it is version 2."""
    with open("/proc/mounts") as file:
        mounts = [line.split() for line in file]
    for _, folder, kind, options, *_ in mounts:
        if kind == "cgroup" and "cpu" in options.split(","):
            return folder, False
    for _, folder, kind, *_ in mounts:
        if kind == "cgroup2":
            with open(os.path.join(folder, "cgroup.subtree_control"), "r+") as file:
                if "cpu" not in file.read().split():
                    file.write("+cpu")
            return folder, True
    raise OSError("no cpu controller is mounted")
