"""Node-RED with the nodes of node-red-contrib-kafkajs: what is posted to it goes into a topic, a topic into a file."""

import os
import shutil
import socket
import urllib.request

from check import Check, eventually, same
from program import (
    INSTALLED,
    WORK,
    Program,
    arrive,
    configuration,
    directory,
    finish,
    numbers,
    outages,
    read,
    write,
    written,
)

FILE = os.path.join(WORK, "commands.log")
FLOW = configuration("node-red.json", **{"/var/log/commands.log": FILE})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
SETTINGS = f"""
module.exports = {{
  uiHost: "127.0.0.1", uiPort: {PORT}, flowFile: "{FLOW}", userDir: "{directory('user')}", httpAdminRoot: false,
  telemetry: {{ enabled: false, updateNotification: false }}, logging: {{ console: {{ level: "info" }} }},
}}
"""

NODE_RED = Program(
    shutil.which("node"), f"{INSTALLED}/node_modules/node-red/red.js", "--settings", written("settings.js", SETTINGS)
)


def post(value):
    headers = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/readings", str(value).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        same(answer.status, 204, "the answer to POST")


def posted():
    return numbers(read("readings"), r"^(\d+)$")


def in_file():
    with open(FILE, encoding="utf-8") as file:
        return numbers(file, r"^(\d+)$")


def ready():
    """The producer's node drops what comes before it is connected, so it is asked until something came through."""
    if "Started flows" not in NODE_RED.log():
        return False
    post("ready")
    return "ready" in read("readings")


def writes():
    write("readings", ["begin"])
    write("commands", ["begin"])
    NODE_RED.start(ready)
    for number in range(1000):
        post(number)
    same(sorted(arrive(range(1000), posted)), list(range(1000)), "the numbers in the topic")


def reads():
    write("commands", range(1000))
    eventually("the file is there", 30, lambda: os.path.exists(FILE))
    same(arrive(range(1000), in_file), list(range(1000)), "the numbers in the file")


def reads_on():
    # The consumer of these nodes (kafkajs 1.16) tries a dead connection five times, then waits before it begins anew.
    write("commands", range(1000, 1100))
    arrive(range(1100), in_file, 80)


def resumes():
    NODE_RED.stop()
    write("commands", range(1100, 1200))
    NODE_RED.start(ready)
    same(arrive(range(1200), in_file)[-100:], list(range(1100, 1200)), "the last numbers in the file")


def version():
    with open(f"{INSTALLED}/node_modules/node-red-contrib-kafkajs/package.json", encoding="utf-8") as file:
        nodes = file.read().split('"version": "')[1].split('"')[0]
    node_red = NODE_RED.version(f"{INSTALLED}/node_modules/node-red/red.js --version", r"Node-RED v([0-9.]+)")
    return f"Node-RED {node_red}, kafkajs nodes {nodes}"


check = Check(version())
check.step("programs: writes", writes)
check.step("programs: reads", reads)
outages(check, post, posted)
check.step("programs: reads after the broker's end", reads_on)
check.step("programs: stop and resume", resumes)
finish(check, NODE_RED)
