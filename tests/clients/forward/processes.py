"""The processes of a run: each has a log, and a file with its pid, by which `run` ends what is left."""

import os
import signal
import subprocess
import time

WORK = os.environ["OTTLA_FORWARD_WORK"]


class Process:
    """One program that is started, killed and started again."""

    def __init__(self, name):
        self.name = name
        self.log_path = os.path.join(WORK, f"{name}.log")
        self.pid_path = os.path.join(WORK, f"{name}.pid")
        self.child = None

    def spawn(self, command, **environment):
        assert self.child is None, f"{self.name} is running"
        with open(self.log_path, "ab") as log:
            log.write(f"--- {time.strftime('%H:%M:%S')} {' '.join(command)}\n".encode())
            log.flush()
            self.child = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with open(self.pid_path, "w", encoding="utf-8") as file:
            file.write(str(self.child.pid))

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def end(self, how=signal.SIGKILL, seconds_max=20):
        """Ends it and waits for that; returns its exit code."""
        child, self.child = self.child, None
        if child is None:
            return None
        if child.poll() is None:
            os.killpg(child.pid, how)
        try:
            child.wait(seconds_max)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise AssertionError(f"{self.name} did not end within {seconds_max} s") from None
        finally:
            os.remove(self.pid_path)
        return child.returncode

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


def until(what, seconds_max, condition, pause_s=0.1):
    """Waits until the condition holds, and returns what it returned."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds_max:.0f} s: {what}"
        time.sleep(pause_s)
