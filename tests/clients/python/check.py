"""The steps of one suite: each prints one line, `client | step | ok`, `FAILED why` or `skipped why`.

A failed step ends nothing but itself. A step that hangs is reported after a while, and ends the program, because
Python cannot end a thread.
"""

import os
import subprocess
import sys
import threading
import time
import traceback

BOOTSTRAP = os.environ["OTTLA_BOOTSTRAP"]
CTL = os.environ.get("OTTLA_CTL", "")
STEP_SECONDS_MAX = 90


class Check:
    def __init__(self, client):
        self.client = client
        self.failed = 0

    def step(self, name, body, *arguments):
        watchdog = threading.Timer(STEP_SECONDS_MAX, self._hangs, [name])
        watchdog.daemon = True
        watchdog.start()
        start = time.monotonic()
        try:
            body(*arguments)
            self._print(name, f"ok ({(time.monotonic() - start) * 1000:.0f} ms)")
        except Exception as error:  # any failure of a step is a result, not an end
            where = [frame for frame in traceback.extract_tb(error.__traceback__) if "suite" in frame.filename]
            at = f" at {os.path.basename(where[-1].filename)}:{where[-1].lineno}" if where else ""
            self._fail(name, f"{type(error).__name__}: {error}{at}")
        finally:
            watchdog.cancel()

    def skip(self, name, why):
        self._print(name, f"skipped {why}")

    def end(self):
        sys.stdout.flush()
        os._exit(1 if self.failed else 0)

    def _hangs(self, name):
        self._fail(name, f"not done after {STEP_SECONDS_MAX} s; the steps after it were not run")
        self.end()

    def _fail(self, name, why):
        self.failed += 1
        self._print(name, f"FAILED {why}")

    def _print(self, name, result):
        print(f"{self.client} | {name} | {' '.join(result.split())}", flush=True)


def same(seen, expected, what):
    if seen != expected:
        raise AssertionError(f"{what}: expected {short(expected)}, seen {short(seen)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"


def that(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


def eventually(what, seconds, holds):
    end = time.monotonic() + seconds
    while not holds():
        that(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.05)


def fails(expected, body, *arguments):
    try:
        body(*arguments)
    except expected as error:
        return error
    raise AssertionError(f"expected {expected.__name__}, but it went well")


def ctl(verb):
    subprocess.run([CTL, verb], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def missing(acknowledged, stored):
    """What was acknowledged and is not stored, at most ten of them, as text."""
    gone = sorted(set(acknowledged) - set(stored))
    return f"{len(gone)} of {len(acknowledged)} acknowledged records are gone: {gone[:10]}" if gone else ""
