"""collectd writes what it measures, and what others tell it, into a topic (write_kafka)."""

import json
import os
import socket

from check import Check, same, that
from program import INSTALLED, WORK, Program, arrive, configuration, directory, finish, outages, read, written

VALUE_SOCKET = os.path.join(WORK, "values")

# What Debian's /etc/collectd/collectd.conf does, in a directory of this run. Numbers come in through a socket, as
# from `collectdctl putval`; the uptime is measured every second.
MAIN = f"""
Hostname "gateway"
BaseDir "{directory('collectd')}"
PIDFile "{WORK}/pid"
PluginDir "{INSTALLED}/usr/lib/collectd"
TypesDB "{INSTALLED}/usr/share/collectd/types.db"
Interval 1
LoadPlugin logfile
LoadPlugin uptime
LoadPlugin unixsock
<Plugin unixsock>
  SocketFile "{VALUE_SOCKET}"
  SocketPerms "0600"
</Plugin>
Include "{configuration('collectd.conf')}"
"""

COLLECTD = Program(f"{INSTALLED}/usr/sbin/collectd", "-f", "-C", written("main.conf", MAIN))


def put(number):
    """Numbers are told in a time of their own, because collectd drops a value that is not newer than the last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(VALUE_SOCKET)
        client.sendall(b'PUTVAL "meter/suite/gauge-value" interval=1 %d:%d\n' % (1_000_000_000 + number, number))
        answer = client.makefile().readline()
        that(answer.startswith("0 Success"), answer)


def values(plugin):
    lists = [json.loads(record) for record in read("gateway-values")]
    return [one["values"][0] for many in lists for one in many if one["plugin"] == plugin]


def stored():
    return values("suite")


def writes():
    COLLECTD.start(lambda: os.path.exists(VALUE_SOCKET))
    for number in range(1, 1001):
        put(number)
    # Five threads of collectd write, so the order is not that of the socket.
    same(sorted(arrive(range(1, 1001), stored)), list(range(1, 1001)), "the numbers in the topic")


def measures():
    first = len(values("uptime"))
    arrive(range(first, first + 3), lambda: range(len(values("uptime"))))


check = Check(f"collectd {COLLECTD.version('-h', r'collectd ([0-9]+[.][0-9]+[.][0-9]+)')}")
check.step("programs: writes", writes)
outages(check, put, stored)
check.step("programs: writes what it measures, every second", measures)
finish(check, COLLECTD)
