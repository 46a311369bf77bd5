"""The long scenarios: 200,000 records over 20 partitions while everything dies at random, then both sides compared."""

import time

import compare
from chaos import Chaos
from compare import exact, words
from gateway import Gateway
from load import PARTITIONS, TOPICS, Load, missing
from upstream import OldUpstream, Upstream

DRAIN_SECONDS_MAX = 180
# One of upstream's topics has compression of its own: what it holds is then not what it was sent.
UPSTREAM_TOPICS = {**PARTITIONS, "counters": (PARTITIONS["counters"], {"compression.type": "gzip"})}
HOUR_MS = 3_600_000
HASTE = {
    "forward.retry.backoff.ms": 50,
    "forward.retry.backoff.max.ms": 1000,
    "forward.request.timeout.ms": 3000,
}


def storm(upstream, name, run, share, timestamp_age_ms=0):
    """The body of all three: returns words for the report, fails when a record is not where it belongs."""
    began, seconds = time.monotonic(), run.storm_s * share
    upstream.create_topics(UPSTREAM_TOPICS)
    gateway = Gateway(name, {"forward.bootstrap.servers": upstream.proxied_bootstrap, **HASTE})
    gateway.start()
    try:
        gateway.create_topics(TOPICS)
        load = Load(
            gateway.bootstrap, int(run.records * share), seconds * 0.9, run.seed, timestamp_age_ms, upstream.knows_zstd
        )
        # Old records are forgotten at once.
        chaos = Chaos(gateway, upstream, run.seed, seconds, upstream.knows_zstd, late=timestamp_age_ms == 0)
        load.start()
        chaos.run()
        load.finish()
        upstream.wait_ready()
        drain_began = time.monotonic()
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        drained_s = time.monotonic() - drain_began
        said = f"drained after {drained_s:.0f} s more, {time.monotonic() - began:.0f} s in all"
        return check(gateway, upstream, load, f"{chaos.words()}; {said}")
    finally:
        gateway.close()


def check(gateway, upstream, load, said):
    local = compare.read(gateway.bootstrap, TOPICS, lambda message: (compare.digest(message), message.value()))
    values = {log: [value for _, value in records] for log, records in local.items()}
    lost_locally = missing(load.acknowledged, values)
    digests = {log: [digest for digest, _ in records] for log, records in local.items()}
    found = compare.compare(digests, compare.read(upstream.bootstrap, TOPICS))
    figures = gateway.figures()
    report = f"{found.records} records; {said}; {words(found)}"
    assert lost_locally == 0, f"{lost_locally} acknowledged records are not in ottla; {report}"
    assert exact(found), "\n".join([report, *found.shown, str(figures)])
    assert figures.get("rejected") == figures.get("repeated") == "0", f"{report}; but ottla says {figures}"
    return report


def one(run):
    """One broker above, killed with -9 now and then."""
    return alone(run, "one")


def expiry(run):
    """Upstream forgets a producer id seconds after its last batch, and at once when the batch's records are old."""
    return alone(run, "expiry", settings=("producer.id.expiration.ms=1000",), share=0.5, timestamp_age_ms=3 * HOUR_MS)


def three(run):
    """Three brokers, replication 3, two of them needed for an acknowledgement."""
    return alone(run, "three", brokers=3)


def old(run):
    """The versions that `--old` names, one after the other; not among the scenarios that run by themselves."""
    for version in run.old:
        upstream = OldUpstream(f"old-{version}", version, run.seed)
        print(f"Kafka {version}: {over(run, upstream, upstream.name)}", flush=True)
    return " ".join(run.old)


def alone(run, name, brokers=1, settings=(), share=1.0, timestamp_age_ms=0):
    """A storm over a cluster of its own."""
    return over(run, Upstream(name, brokers, settings, run.seed), name, share, timestamp_age_ms)


def over(run, upstream, name, share=1.0, timestamp_age_ms=0):
    run.close()
    try:
        upstream.start()
        return storm(upstream, name, run, share, timestamp_age_ms)
    finally:
        upstream.close()
