"""A machine whose power can be cut: Debian's user-mode Linux, a real kernel with a real ext4 on a disk image.

The machine's root is the host's file system, read-only; its data disk is an image, mounted at the same path inside
and on the host, so that one command line serves in both. Cutting the power is ONE SIGKILL to the whole process
group: killing the processes of the machine one by one lets some of them go on for a moment, which has been
seen to show losses that no power cut could make.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

CACHE = Path(os.environ["DUOLOG_CACHE"])
INIT = Path(__file__).parent.parent / "uml" / "init.sh"
XSTATE_SOURCE = Path(__file__).parent.parent / "uml" / "xstate_ptrace.c"


class Unavailable(Exception):
    """User-mode Linux can't be had on this machine."""


class BootFailed(Exception):
    """The machine didn't come up: says nothing about the broker."""


def require_root():
    """Raises Unavailable where disks can't be mounted."""
    if os.geteuid() != 0:
        raise Unavailable("mounting a disk needs root")


def require_tools(packages):
    """Installs the packages of the tools that are missing; raises Unavailable with the reason."""
    missing = sorted({package for tool, package in packages.items() if shutil.which(tool) is None})
    if not missing:
        return
    quiet = {"check": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["apt-get", "update", "-qq"], **quiet)
    subprocess.run(["apt-get", "install", "-y", "-qq", *missing],
                   env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, **quiet)
    missing = [tool for tool in packages if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"{', '.join(missing)} could not be installed")


def require():
    """What a power cut needs."""
    require_root()
    require_tools({"linux.uml": "user-mode-linux", "mkfs.ext4": "e2fsprogs", "losetup": "mount", "cc": "gcc"})


def compiled(source, *flags):
    """The program or library of a C source here, compiled when it is older than its source."""
    output = CACHE / "uml" / (source.stem + (".so" if "-shared" in flags else ""))
    if not output.exists() or output.stat().st_mtime < source.stat().st_mtime:
        output.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", *flags, "-o", str(output), str(source), "-ldl"], check=True)
    return output


def preload():
    """The environment that lets UML start on this host: see uml/xstate_ptrace.c."""
    amx = "amx_tile" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    if not amx and not os.environ.get("DUOLOG_XSTATE_ALWAYS"):
        return {}
    return {"LD_PRELOAD": str(compiled(XSTATE_SOURCE, "-shared", "-fPIC"))}


class Disk:
    """The data disk: an ext4 image, mounted at ``path`` on the host only while the machine is off."""

    def __init__(self, run_directory, megabytes=512):
        self.image = run_directory / "data.img"
        self.path = run_directory / "disk"
        self.path.mkdir(exist_ok=True)
        self._bytes = megabytes << 20

    def format(self):
        """A fresh, empty disk."""
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as image:
            image.truncate(self._bytes)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", "-N", "8192", str(self.image)], check=True)

    def mount(self):
        """On the host; ext4 replays its journal here, as it would at the next boot."""
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self.path)], check=True)

    def unmount(self):
        for _ in range(50):
            if subprocess.run(["umount", str(self.path)], check=False, stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", str(self.path)], check=True)


class Machine:
    """One boot, from power-on to power cut."""

    def __init__(self, run_directory, disk, inside, memory="512M"):
        """`inside` is the shell script that runs once the data disk is mounted."""
        script = run_directory / "inside"
        script.write_text(inside)
        script.chmod(0o755)
        self._console_path = run_directory / "console"
        with open(self._console_path, "wb") as console:
            self._process = subprocess.Popen(
                ["linux.uml", f"mem={memory}", "rootfstype=hostfs", "rootflags=/", "ro", f"init={INIT}",
                 f"ubd0={disk.image}", "con=null", "con0=fd:0,fd:1", "quiet", f"RUN={run_directory}"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, **preload()}, cwd=run_directory)
        self._console = open(self._console_path, "rb")
        self._rest = b""
        self.lines = []

    def read(self):
        """Takes what the console has said meanwhile; whole lines only."""
        chunk = self._rest + self._console.read()
        *whole, self._rest = chunk.split(b"\n")
        new = [line.decode("utf-8", "replace").rstrip("\r") for line in whole]
        self.lines.extend(new)
        return new

    def wait_for(self, wanted, seconds):
        """Waits until `wanted(line)` has been true for some line; returns False when the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any([wanted(line) for line in self.read()]):
                return True
            if self._process.poll() is not None or any(line.startswith("ENDED") for line in self.lines[-5:]):
                return False
            time.sleep(0.005)
        return False

    def wait_boot(self, seconds=60):
        if not self.wait_for(lambda line: line == "BOOTED", seconds) or "MOUNT FAILED" in self.lines:
            self.cut()
            raise BootFailed("; ".join(self.lines[-5:]))

    def cut(self):
        """Cuts the power, and returns when nothing of the machine is left."""
        group = self._process.pid
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        while _alive(group):
            time.sleep(0.002)
        self.read()
        self._console.close()


def _alive(group):
    """Whether a process of the group still runs; zombies of strangers don't count."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, pgrp = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state not in "ZX":
            return True
    return False
