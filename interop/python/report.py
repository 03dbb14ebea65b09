"""One line per check on standard output, in the form that interop/run counts."""

import sys
import time
import traceback


class Report:
    def __init__(self, suite):
        self.suite = suite
        self.failed = 0

    def check(self, name, function, *arguments):
        """Runs one check. It returns the number of records it moved, or None, and fails by raising."""
        started = time.monotonic()
        try:
            records = function(*arguments)
        except Exception as error:  # a failing check must not end the others
            self.failed += 1
            took = time.monotonic() - started
            print(f"FAIL {self.suite} {name} ({took:.1f} s): {type(error).__name__}: {error}", flush=True)
            traceback.print_exc(file=sys.stderr)
            return
        took = time.monotonic() - started
        count = f"{records} records, " if records else ""
        print(f"ok   {self.suite} {name} ({count}{took:.1f} s)", flush=True)


def eventually(what, condition, seconds=20):
    """Waits until `condition()` is truthy and returns its value; a broker's answer may precede what it shows."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)
