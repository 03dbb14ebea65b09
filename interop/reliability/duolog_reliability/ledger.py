"""Appends a row to docs/reliability.md, the committed record of full runs."""

import datetime
import os
import subprocess
from pathlib import Path

REPO = Path(os.environ["DUOLOG_REPO"])
LEDGER = REPO / "docs" / "reliability.md"


def commit():
    """The commit under test, with ``+`` where the work tree differs from it."""
    def git(*words):
        return subprocess.run(["git", "-C", str(REPO), *words], capture_output=True, text=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "crates", "interop/reliability", "interop/nats", "interop/lib", "Cargo.lock")
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")


def append(command, counts, result):
    """One row: today, the commit, the command that repeats the run, what was counted, what came of it."""
    row = [datetime.date.today().isoformat(), f"`{commit()}`", f"`{command}`", counts, result]
    with open(LEDGER, "a", encoding="utf-8") as ledger:
        ledger.write("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n")
