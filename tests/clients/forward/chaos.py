"""What happens to ottla, to the link and to the brokers above while records flow: a plan made from a seed.

The plan is the same for the same seed; when exactly a process dies is not, of course.
"""

import collections
import random
import signal
import time

Event = collections.namedtuple("Event", "at_s what broker length_s")

# Seconds between two events of a kind, on average; each kind happens at least once.
PAUSES_S = {
    "kill ottla": 7,
    "stop ottla": 30,
    "kill upstream": 25,
    "cut a request": 1.5,
    "cut an answer": 1.5,
    "cut everything": 12,
    "stall": 15,
    "delay": 20,
    "refuse": 25,
    "throttle": 20,
}
# A request that the link holds back for seconds and delivers after its connection is gone. Where upstream forgets a
# producer id within a second, nobody can tell such a request from a new one: that is not exact, and not asked for.
LATE = ("stall", "throttle")
ORDERLY_FROM_S = 3
STOP_SECONDS_MAX = 60
THROTTLED_BYTES_PER_SECOND = 20_000
# What ottla is given at a new start: what it has sent before and not seen answered, it packs in another way now.
STARTS = {
    "forward_batch_size": (16384, 65536, 262144),
    "forward_linger_ms": (0, 20, 100),
    "forward_compression_type": ("producer", "producer", "gzip", "lz4", "zstd"),
}


def plan(seed, seconds, brokers, late=True):
    chance = random.Random(f"{seed} plan")
    events = []
    for what, pause_s in PAUSES_S.items():
        if what in LATE and not late:
            continue
        for _ in range(max(1, round(seconds / pause_s))):
            events.append(Event(chance.uniform(1, seconds), what, chance.randrange(brokers), chance.uniform(0.5, 4)))
    return sorted(events)


class Chaos:
    """Runs the plan. `counts` says how often each kind has happened."""

    def __init__(self, gateway, upstream, seed, seconds, zstd=True, late=True):
        self.gateway = gateway
        self.upstream = upstream
        self.plan = plan(seed, seconds, upstream.count, late)
        self.chance = random.Random(f"{seed} starts")
        self.starts = {name: [value for value in values if zstd or value != "zstd"] for name, values in STARTS.items()}
        self.counts = collections.Counter()
        # What is undone later: (when, how)
        self.later = []

    def run(self):
        begin = time.monotonic()
        for event in self.plan:
            while (left_s := begin + event.at_s - time.monotonic()) > 0:
                self.undo(time.monotonic())
                time.sleep(min(left_s, 0.1))
            self.act(event)
        self.recover()

    def undo(self, now):
        due = [entry for entry in self.later if entry[0] <= now]
        self.later = [entry for entry in self.later if entry[0] > now]
        for _, undo in due:
            undo()

    def recover(self):
        """Everything runs and passes again."""
        self.undo(float("inf"))
        self.upstream.calm()

    def after(self, seconds, undo):
        self.later.append((time.monotonic() + seconds, undo))

    def act(self, event):
        proxy = self.upstream.proxies[event.broker]
        if event.what in ("kill ottla", "stop ottla"):
            self.gateway.kill() if event.what == "kill ottla" else self.gateway.stop()
            self.gateway.start(**{name: self.chance.choice(values) for name, values in self.starts.items()})
        elif event.what == "kill upstream":
            process = self.upstream.processes[event.broker]
            if not process.alive():
                return
            # Of three, some end in an orderly way: their leaders move before they go.
            orderly = self.upstream.count > 1 and event.length_s > ORDERLY_FROM_S
            process.end(signal.SIGTERM if orderly else signal.SIGKILL, STOP_SECONDS_MAX)
            self.after(event.length_s, lambda: self.upstream.start_broker(event.broker))
            self.counts["stop upstream" if orderly else event.what] += 1
            return
        elif event.what in ("cut a request", "cut an answer"):
            # Counted by the proxy when it comes to pass.
            proxy.cut_next(event.what.rsplit(" ", maxsplit=1)[-1])
        elif event.what == "cut everything":
            for each in self.upstream.proxies:
                each.cut_all()
        elif event.what == "stall":
            proxy.stall(event.length_s * 1.5)
        elif event.what == "delay":
            proxy.delay_s = event.length_s / 20
            self.after(event.length_s, lambda: setattr(proxy, "delay_s", 0.0))
        elif event.what == "throttle":
            proxy.up_bytes_per_second = THROTTLED_BYTES_PER_SECOND
            self.after(event.length_s, lambda: setattr(proxy, "up_bytes_per_second", 0))
        elif event.what == "refuse":
            proxy.refuses = True
            proxy.cut_all()
            self.after(event.length_s, lambda: setattr(proxy, "refuses", False))
        self.counts[event.what] += 1

    def words(self):
        up = self.upstream
        return (
            f"{self.counts['kill ottla']} kills of ottla, {self.counts['kill upstream']} of upstream "
            f"(and {self.counts['stop upstream']} stops), "
            f"{up.counted('cut_requests')} requests and {up.counted('cut_answers')} answers cut, "
            f"{up.counted('cut_idle')} connections besides"
        )
