"""Telegraf reads a topic (inputs.kafka_consumer, at its default version of 0.10.2) and writes one (outputs.kafka).

What it reads it writes too, as it does with all metrics: so the numbers go from one topic through it into the other.
"""

import os

from check import Check, same
from program import INSTALLED, WORK, Program, arrive, configuration, finish, numbers, outages, read, write, written

LINES = os.path.join(WORK, "lines")
AGENT = f"""
[agent]
  interval = "1s"
  flush_interval = "1s"
  hostname = "gateway"
[[inputs.cpu]]
  percpu = false
[[inputs.tail]]
  files = ["{LINES}"]
  initial_read_offset = "beginning"
  data_format = "influx"
"""

TELEGRAF = Program(
    *(f"{INSTALLED}/telegraf", "--config", written("agent.conf", AGENT), "--config", configuration("telegraf.conf"))
)


def put(number):
    with open(LINES, "a", encoding="utf-8") as file:
        file.write(f"meter value={number}\n")


def send(first, end):
    write("device-metrics", [f"device value={number}" for number in range(first, end)])


def of(measurement):
    return lambda: numbers(read("gateway-metrics"), rf"^{measurement},.*\bvalue=(\d+)")


def writes():
    for number in range(1000):
        put(number)
    TELEGRAF.start(lambda: "Loaded outputs: kafka" in TELEGRAF.log())
    same(sorted(arrive(range(1000), of("meter"))), list(range(1000)), "the numbers in the topic")


def measures():
    arrive(range(3), lambda: range(sum(line.startswith("cpu,") for line in read("gateway-metrics"))))


def reads():
    send(0, 1000)
    same(sorted(arrive(range(1000), of("device"))), list(range(1000)), "the numbers that went through")


def reads_on():
    send(1000, 1100)
    arrive(range(1100), of("device"))


def resumes():
    TELEGRAF.stop()
    send(1100, 1200)
    TELEGRAF.start()
    arrive(range(1200), of("device"))


check = Check(f"Telegraf {TELEGRAF.version('--version', r'Telegraf ([0-9.]+)')}")
check.step("programs: writes", writes)
check.step("programs: writes what it measures, every second", measures)
check.step("programs: reads", reads)
outages(check, put, of("meter"))
check.step("programs: reads after the broker's end", reads_on)
check.step("programs: stop and resume", resumes)
finish(check, TELEGRAF)
