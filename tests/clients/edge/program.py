"""A program of the edge as a child of the suite, and what it should have written, seen by kcat.

The configuration is the one that README.md shows; `configuration` puts this broker's address and this run's directory
into it, and nothing else. A program runs in the foreground; it ends with the suite's process group.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time

from check import BOOTSTRAP, CTL, ctl, eventually, that

HERE = os.path.dirname(os.path.abspath(__file__))
# Where the suite's `install` has put the program.
INSTALLED = os.environ["OTTLA_PROGRAM"]
# Of this run, and removed with it.
WORK = os.path.join(os.environ["OTTLA_RUN"], "work")
os.makedirs(WORK)
ADDRESS = "127.0.0.1:9092"
# A topic that the program is yet to create has no records.
NOT_YET_THERE = "Broker: Unknown topic or partition"
START_SECONDS_MAX = 30
RECORDS_SECONDS_MAX = 30


def configuration(name, **places):
    """The README's configuration with the broker's address and, for each `old=new` of places, another directory."""
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        text = file.read()
    for old, new in {ADDRESS: BOOTSTRAP, **places}.items():
        that(old in text, f"{name} does not contain {old}")
        text = text.replace(old, new)
    return written(name, text)


def written(name, text):
    path = os.path.join(WORK, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def directory(name):
    path = os.path.join(WORK, name)
    os.makedirs(path, exist_ok=True)
    return path


class Program:
    """One process of the program; `start` makes another one."""

    def __init__(self, *command, **environment):
        self.command = command
        self.environment = {**os.environ, "LD_LIBRARY_PATH": libraries(), **environment}
        self.log_path = os.path.join(WORK, "program.log")
        self.process = None
        self.log_begin = 0

    def start(self, until=lambda: True):
        with open(self.log_path, "ab") as log:
            self.log_begin = log.tell()
            self.process = subprocess.Popen(
                self.command, env=self.environment, cwd=WORK, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually("the program is ready", START_SECONDS_MAX, lambda: self.alive() and until())

    def alive(self):
        that(self.process.poll() is None, f"the program ended with {self.process.returncode}: {self.log()[-300:]}")
        return True

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the program did not end within 15 s of SIGTERM: {self.log()[-300:]}") from None
        that(code in (0, -signal.SIGTERM, 128 + signal.SIGTERM), f"the program ended with {code}: {self.log()[-300:]}")

    def version(self, option, pattern):
        command = [self.command[0], *option.split()]
        told = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        return re.search(pattern, told.stdout + told.stderr)[1]

    def log(self):
        """What it said since its last start."""
        with open(self.log_path, "rb") as file:
            file.seek(self.log_begin)
            return file.read().decode("utf-8", "replace")


def libraries():
    """The directories of the shared libraries that came with the program."""
    found = {where for where, _, files in os.walk(INSTALLED) if any(".so." in name for name in files)}
    return ":".join(sorted(found))


def kcat(*arguments, text=None):
    command = ["kcat", "-q", "-b", BOOTSTRAP, *arguments]
    ran = subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, check=False)
    empty = text is None and NOT_YET_THERE in ran.stderr
    that(empty or ran.returncode == 0, f"{' '.join(command)}: {ran.stderr}")
    return ran.stdout


def write(topic, values):
    kcat("-P", "-t", topic, text="".join(f"{value}\n" for value in values))


def read(topic):
    """The values of all records of the topic."""
    return kcat("-C", "-t", topic, "-o", "beginning", "-e").splitlines()


def numbers(values, pattern):
    """What the pattern's group finds in the values, as numbers, in their order; other values are not looked at."""
    found = (re.search(pattern, value) for value in values)
    return [int(match[1]) for match in found if match]


def arrive(expected, seen, seconds=RECORDS_SECONDS_MAX):
    """Waits until all that is expected was seen; returns what was seen."""
    end = time.monotonic() + seconds
    while True:
        last = seen()
        missing = sorted(set(expected) - set(last))
        if not missing:
            return last
        that(
            time.monotonic() < end,
            f"{len(missing)} of {len(expected)} records are not there after {seconds} s: {missing[:10]}",
        )
        time.sleep(0.3)


class Feed(threading.Thread):
    """Gives the program a number every `pause_s`, beginning with `first`, until it is ended."""

    def __init__(self, give, first, pause_s=0.02):
        super().__init__(daemon=True)
        self.give, self.first, self.pause_s = give, first, pause_s
        self.given = []
        self.over = threading.Event()
        self.error = None

    def run(self):
        number = self.first
        try:
            while not self.over.wait(self.pause_s):
                self.give(number)
                self.given.append(number)
                number += 1
        except Exception as error:  # told to the step that ends this thread
            self.error = error

    def end(self):
        self.over.set()
        self.join(20)
        that(self.error is None, f"the program did not take number {len(self.given)}: {self.error}")
        return self.given


def through(outage, give, seen, first, pause_s=0.02):
    """The program is fed while the broker goes and comes back; everything it was given arrives in the end."""
    feed = Feed(give, first, pause_s)
    feed.start()
    time.sleep(1.5)
    outage()
    time.sleep(2)
    given = feed.end()
    that(len(given) * pause_s > 1, f"the feed stood still: {len(given)} numbers")
    return arrive(given, seen)


def restart():
    ctl("restart")


def kill():
    ctl("kill9")
    time.sleep(0.5)
    ctl("start")


def outages(check, give, seen):
    """The steps of the broker's restart and of its sudden end, with a program that must lose nothing."""
    for at, (name, outage) in enumerate((("broker restarted", restart), ("broker killed", kill))):
        if CTL:
            check.step(f"programs: {name}", through, outage, give, seen, (at + 1) * 100_000)
        else:
            check.skip(f"programs: {name}", "this broker is not ours to restart")


def finish(check, program):
    """Ends the program, and shows what it said if a step failed."""
    if program.process and program.process.poll() is None:
        check.step("programs: ends on SIGTERM", program.stop)
    if check.failed and program.process:
        print(program.log()[-4000:], file=sys.stderr)
    check.end()
