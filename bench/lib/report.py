"""One figure a line: a table for people, JSON for programs."""

import datetime
import json
import os
import subprocess

#: A figure is held against its goal in one of these ways.
AT_MOST, AT_LEAST = "<=", ">="


class Report:
    def __init__(self, repository):
        self.repository, self.figures = repository, []

    def add(self, item, name, value, unit="", goal=None, way=AT_MOST, note="", disturbed=False):
        """`goal` None: a figure that others are made of, or that is only to be looked at. What was `disturbed` is not judged."""
        met = None if goal is None or disturbed else (value <= goal if way == AT_MOST else value >= goal)
        figure = {"item": item, "figure": name, "value": round(value, 4), "unit": unit, "goal": goal, "way": way if goal is not None else None,
                  "met": met, "disturbed": disturbed, "note": note, "load": round(os.getloadavg()[0], 2)}
        self.figures.append(figure)
        print(json.dumps(figure), flush=True)

    def table(self):
        rows = ["| item | figure | value | goal | |", "|---|---|---|---|---|"]
        for one in self.figures:
            goal = "" if one["goal"] is None else f"{one['way']} {number(one['goal'])}"
            met = "disturbed: doesn't count" if one["disturbed"] else {None: "", True: "met", False: "**missed**"}[one["met"]]
            note = f" ({one['note']})" if one["note"] else ""
            rows.append(f"| {one['item']} | {one['figure']}{note} | {number(one['value'])} {one['unit']} | {goal} | {met} |")
        return "\n".join(rows)

    def heading(self):
        def said(*command):
            done = subprocess.run(command, cwd=self.repository, capture_output=True, text=True)
            return done.stdout.strip() or "?"
        commit = said("git", "rev-parse", "--short", "HEAD") + ("+changes" if said("git", "status", "--porcelain", "--untracked-files=no") != "?" else "")
        when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        return f"{when}, commit {commit}, {os.cpu_count()} cores, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f} at the end"

    def append_to(self, readme):
        with open(readme, "a") as file:
            file.write(f"\n### {self.heading()}\n\n{self.table()}\n")


def number(value):
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
