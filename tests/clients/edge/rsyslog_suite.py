"""rsyslog writes what a machine logs into a topic (omkafka), and a topic into a file (imkafka)."""

import os
import socket

from check import Check, eventually, same, that
from program import INSTALLED, WORK, Program, arrive, configuration, finish, numbers, outages, read, write, written

LOG_SOCKET = os.path.join(WORK, "log")
FILE = os.path.join(WORK, "devices.log")

# What Debian's /etc/rsyslog.conf does before it includes /etc/rsyslog.d, in a directory of this run.
MAIN = f"""
global(workDirectory="{WORK}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{LOG_SOCKET}" RateLimit.Interval="0")
include(file="{configuration('rsyslog.conf', **{'/var/log/devices.log': FILE})}")
"""

RSYSLOG = Program(
    f"{INSTALLED}/usr/sbin/rsyslogd",
    *("-n", "-i", f"{WORK}/pid", "-f", written("main.conf", MAIN)),
    *("-M", f"{INSTALLED}/usr/lib/x86_64-linux-gnu/rsyslog"),
)


def log(number):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(LOG_SOCKET)
        sender.send(b"<13>Nov 22 10:00:00 meter: value %d" % number)


def logged():
    return numbers(read("gateway-log"), r"meter: value (\d+)$")


def in_file():
    with open(FILE, encoding="utf-8") as file:
        return numbers(file, r"device (\d+)$")


def writes():
    RSYSLOG.start(lambda: os.path.exists(LOG_SOCKET))
    for number in range(1000):
        log(number)
    same(arrive(range(1000), logged), list(range(1000)), "the numbers in the topic")


def reads():
    write("device-log", [f"device {number}" for number in range(1000)])
    eventually("the file is there", 30, lambda: os.path.exists(FILE))
    same(arrive(range(1000), in_file), list(range(1000)), "the numbers in the file")


def reads_on():
    write("device-log", [f"device {number}" for number in range(1000, 1100)])
    same(arrive(range(1100), in_file), list(range(1100)), "the numbers in the file")


def resumes():
    RSYSLOG.stop()
    write("device-log", [f"device {number}" for number in range(1100, 1200)])
    RSYSLOG.start(lambda: os.path.exists(LOG_SOCKET))
    seen = arrive(range(1200), in_file)
    same(sorted(set(seen)), list(range(1200)), "the numbers in the file")
    # imkafka does not commit at its end: what it read since its last commit, 5 s ago at most, comes again.
    that(seen.count(0) == 1, "it has begun from the start")


check = Check(f"rsyslog {RSYSLOG.version('-v', r'rsyslogd +([0-9.]+)')}")
check.step("programs: writes", writes)
check.step("programs: reads", reads)
outages(check, log, logged)
check.step("programs: reads after the broker's end", reads_on)
check.step("programs: stop and resume", resumes)
finish(check, RSYSLOG)
