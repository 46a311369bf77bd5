"""syslog-ng writes what a machine logs into a topic as JSON (kafka-c, its Kafka module on librdkafka)."""

import json
import os
import socket

from check import Check, same
from program import INSTALLED, WORK, Program, arrive, configuration, finish, kcat, numbers, outages, read, written

LOG_SOCKET = os.path.join(WORK, "log")

# What Debian's /etc/syslog-ng/syslog-ng.conf does before it includes conf.d, in a directory of this run.
MAIN = f"""@version: 3.38
source s_src {{ unix-dgram("{LOG_SOCKET}"); }};
@include "{configuration('syslog-ng.conf')}"
"""

MODULES = f"{INSTALLED}/usr/lib/syslog-ng/3.38"
FILES = {"--persist-file": "persist", "--pidfile": "pid", "--control": "control"}
SYSLOG_NG = Program(
    *(f"{INSTALLED}/usr/sbin/syslog-ng", "-F", "--no-caps", "--module-path", MODULES),
    *("-f", written("main.conf", MAIN)),
    *(word for option, name in FILES.items() for word in (option, os.path.join(WORK, name))),
)


def log(number):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(LOG_SOCKET)
        sender.send(b"<13>Nov 22 10:00:00 meter: value %d" % number)


def logged():
    events = [json.loads(record) for record in read("gateway-events")]
    return numbers([event["message"] for event in events if event["program"] == "meter"], r"^value (\d+)$")


def writes():
    SYSLOG_NG.start(lambda: os.path.exists(LOG_SOCKET))
    for number in range(1000):
        log(number)
    same(arrive(range(1000), logged), list(range(1000)), "the numbers in the topic")


def keys():
    records = kcat("-C", "-t", "gateway-events", "-o", "beginning", "-e", "-f", "%k %s\n").splitlines()
    split = [record.split(" ", 1) for record in records]
    same({key for key, _ in split}, {json.loads(value)["host"] for _, value in split}, "the keys in the topic")


check = Check(f"syslog-ng {SYSLOG_NG.version(f'-V --module-path {MODULES}', r'Installer-Version: ([0-9.]+)')}")
check.step("programs: writes", writes)
check.step("programs: keys", keys)
outages(check, log, logged)
finish(check, SYSLOG_NG)
