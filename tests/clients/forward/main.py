"""The scenarios in their order, a line each: what `run` starts."""

import argparse
import os
import random
import signal
import sys
import time
import traceback

import compare
import places
import rules
import storms
from upstream import Upstream

# `expiry` and `three` have clusters of their own; the others share one, which `changes` replaces at its end.
SCENARIOS = {
    "absent": rules.absent,
    "cap": rules.cap,
    "classes": rules.classes,
    "rejected": rules.rejected,
    "names": places.names,
    "partitions": places.partitions,
    "one": storms.one,
    "changes": places.changes,
    "expiry": storms.expiry,
    "three": storms.three,
}
BY_NAME = {**SCENARIOS, "old": storms.old}
RECORDS = 200_000
STORM_SECONDS = 50
# `expiry` is half of one.
STORMS = 2.5


class Run:
    """What the scenarios share: the seed, how long they take, and the single broker."""

    def __init__(self, arguments):
        self.seed = arguments.seed
        self.chance = random.Random(f"{arguments.seed} run")
        self.records = arguments.records
        self.storm_s = STORM_SECONDS
        self.absent_s = 15.0
        self.cap_s = 30.0
        if arguments.minutes is not None:
            self.storm_s = arguments.minutes * 60 / STORMS
            self.records = max(self.records, int(self.records * self.storm_s / STORM_SECONDS))
            self.absent_s = min(arguments.minutes * 6, 300.0)
        self.old = arguments.old or ["2.8.2"]
        self._single = None

    def single(self, started=True):
        if self._single is None:
            self._single = Upstream("single", seed=self.seed)
        if started and not self._single.processes[0].alive():
            self._single.start()
        return self._single

    def close(self):
        if self._single is not None:
            self._single.close()
            self._single = None


def arguments():
    parser = argparse.ArgumentParser(prog="run", description="The forwarder against a real Apache Kafka.")
    names = f"of: {' '.join(BY_NAME)} (default: all but old)"
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=names)
    parser.add_argument("--minutes", type=float, help="how long the storms take together (default: 2)")
    parser.add_argument("--records", type=int, default=RECORDS, help=f"records of a storm of {STORM_SECONDS} s")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of a storm's plan")
    parser.add_argument("--old", action="append", metavar="VERSION", help="a Kafka with ZooKeeper, for `old`")
    found = parser.parse_args()
    unknown = [name for name in found.scenarios if name not in BY_NAME]
    if unknown:
        parser.error(f"no such scenario: {' '.join(unknown)}")
    return found


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = arguments()
    compare.prove()
    run, failed = Run(found), []
    print(f"seed {run.seed}", flush=True)
    try:
        for name in found.scenarios or SCENARIOS:
            began = time.monotonic()
            try:
                said, verdict = BY_NAME[name](run), "ok"
            except Exception as failure:  # whatever it is, the other scenarios are still worth a look
                expected = isinstance(failure, AssertionError)
                said, verdict = str(failure) if expected else traceback.format_exc(), "FAILED"
                failed.append(name)
                # The next one begins with a broker and proxies that nothing has happened to.
                run.close()
            print(f"{name} | {verdict} | {time.monotonic() - began:.0f} s | {said}", flush=True)
    finally:
        run.close()
    print(f"{len(found.scenarios or SCENARIOS) - len(failed)} passed, {len(failed)} failed", flush=True)
    # librdkafka's threads are not worth waiting for.
    os._exit(1 if failed else 0)


if __name__ == "__main__":
    main()
