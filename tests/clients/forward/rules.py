"""The short scenarios, one rule each: absence, the bandwidth cap, classes, what upstream refuses, where records go."""

import glob
import os
import struct
import time

import compare
from compare import exact, words
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec
from gateway import Gateway
from processes import until
from storms import HASTE

DRAIN_SECONDS_MAX = 60
KIB = 1024
CAP_BYTES_PER_SECOND = 32 * KIB
# From a batch's base offset to the end of its length field; and the header whole.
BATCH_LENGTH_END = 12
LEADER_EPOCH_END = 16


def gateway_for(run, name, board=None, **settings):
    """Dots are underscores in the names of settings."""
    upstream = run.single(started=False)
    named = {key.replace("_", "."): value for key, value in settings.items()}
    return Gateway(name, {"forward.bootstrap.servers": upstream.proxied_bootstrap, **HASTE, **named}, board)


def send(gateway, topic, partition, values, **more):
    """Acknowledged, in order."""
    failures = []
    producer = Producer(
        {
            "bootstrap.servers": gateway.bootstrap,
            "enable.idempotence": True,
            "message.max.bytes": 8_000_000,
            "log_level": 0,
            **more.pop("config", {}),
        }
    )
    for value in values:
        producer.produce(
            topic,
            value,
            partition=partition,
            on_delivery=lambda error, _: failures.append(error) if error else None,
            **more,
        )
        producer.poll(0)
    assert producer.flush(30) == 0 and not failures, f"{topic}: {failures[:1]}"


def numbered(name, begin, end):
    return [b"%s %d" % (name.encode(), number) for number in range(begin, end)]


def blobs(run, count, size):
    return [run.chance.randbytes(size) for _ in range(count)]


def both_sides(gateway, upstream, topics, upstream_topics=None):
    return compare.read(gateway.bootstrap, topics), compare.read(upstream.bootstrap, upstream_topics or topics)


def percentile(values, share):
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


# --- absent ---


def absent(run):
    """Upstream isn't there at the start, nor for a while, nor has its name an address; local clients don't feel it."""
    upstream = run.single(started=False)
    gateway = gateway_for(
        run,
        "absent",
        forward_bootstrap_servers=f"upstream.invalid:9092,{upstream.proxied_bootstrap}",
    )
    gateway.start()
    try:
        gateway.create_topics({"absent": 2})
        waits_ms = local_waits(gateway, "absent", run.absent_s)
        figures = gateway.figures()
        assert figures["state"] not in ("up", "off", "paused"), f"the link is {figures['state']} without an upstream"
        assert int(figures["backlog.records"]) == len(waits_ms), f"backlog {figures} after {len(waits_ms)} records"
        upstream.start()
        upstream.create_topics({"absent": 2})
        began = time.monotonic()
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        found = compare.compare(*both_sides(gateway, upstream, ["absent"]))
        report = (
            f"{found.records} records in {run.absent_s:.0f} s without upstream, acknowledged locally in "
            f"{percentile(waits_ms, 0.5):.1f} ms (median), {percentile(waits_ms, 0.99):.1f} ms (99 %), drained "
            f"{time.monotonic() - began:.1f} s after it came; {words(found)}"
        )
        assert exact(found), "\n".join([report, *found.shown])
        assert percentile(waits_ms, 0.99) < 200, report
        return report
    finally:
        gateway.close()


def local_waits(gateway, topic, seconds):
    """Milliseconds until the acknowledgement of each of many records, one after the other."""
    producer = Producer({"bootstrap.servers": gateway.bootstrap, "acks": "all", "linger.ms": 0, "log_level": 0})
    waits_ms, begin = [], time.monotonic()
    while time.monotonic() < begin + seconds:
        sent = time.monotonic()
        producer.produce(topic, b"waiting %d" % len(waits_ms), partition=len(waits_ms) % 2)
        assert producer.flush(10) == 0, "ottla does not answer while upstream is absent"
        waits_ms.append((time.monotonic() - sent) * 1000)
        time.sleep(0.005)
    return waits_ms


# --- cap ---


def cap(run):
    """The cap holds within 5 %, counted where the bytes arrive, after the burst."""
    upstream = run.single()
    upstream.create_topics({"capped": 2})
    gateway = gateway_for(run, "cap", forward_bandwidth_bytes_per_second=CAP_BYTES_PER_SECOND)
    upstream.proxies[0].refuses = True
    gateway.start()
    try:
        gateway.create_topics({"capped": 2})
        size, seconds = 1000, run.cap_s
        for partition in range(2):
            send(gateway, "capped", partition, blobs(run, int(CAP_BYTES_PER_SECOND * (seconds + 15) / size / 2), size))
        before = upstream.counted("up_bytes")
        upstream.calm()
        until("bytes go up", 15, lambda: upstream.counted("up_bytes") > before + KIB, 0.01)
        # The bucket's first content is not part of the rate.
        time.sleep(4)
        begin, count = time.monotonic(), upstream.counted("up_bytes")
        burst = count - before - 4 * CAP_BYTES_PER_SECOND
        time.sleep(seconds)
        rate = (upstream.counted("up_bytes") - count) / (time.monotonic() - begin)
        share = rate / CAP_BYTES_PER_SECOND
        report = (
            f"{rate:.0f} bytes/s over {seconds:.0f} s, {share * 100:.1f} % of the cap; "
            f"in the 4 s before, {burst:+d} bytes beside it"
        )
        assert 0.95 <= share <= 1.05, report
        return report
    finally:
        gateway.close()


# --- classes ---


def classes(run):
    """Strict between classes, fair within one."""
    upstream, topics = run.single(), ("alarms", "metrics", "logs")
    upstream.create_topics({name: 2 for name in topics})
    gateway = gateway_for(
        run,
        "classes",
        forward_bandwidth_bytes_per_second=2 * CAP_BYTES_PER_SECOND,
        forward_priority="alarms*=10, logs*=0",
        forward_batch_size=16 * KIB,
    )
    upstream.proxies[0].refuses = True
    gateway.start()
    try:
        gateway.create_topics({name: 2 for name in topics})
        records, size = 300, 1000
        for name in reversed(topics):
            for partition in range(2):
                # Small batches: a stored batch goes up whole, whatever its class.
                values = blobs(run, records // 2, size)
                send(gateway, name, partition, values, config={"batch.num.messages": 4})
        upstream.calm()

        def first_up(*names):
            now = ends(upstream, topics)
            return now if any(now[name] == records for name in names) else None

        early = until("the alarms are up", 60, lambda: first_up("alarms"), 0.05)
        late = until("metrics or logs are up", 60, lambda: first_up("metrics", "logs"), 0.05)
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        found = compare.compare(*both_sides(gateway, upstream, topics))
        lower = max(early["metrics"], early["logs"])
        slower = min(late["metrics"], late["logs"])
        report = (
            f"when {records} alarms were up, {early['metrics']} metrics and {early['logs']} logs were; "
            f"when the first of these two was up, {slower} of {records} of the other; {words(found)}"
        )
        # Between the last alarm and our look at it, a batch or two of each.
        assert lower <= records * 0.15 and slower >= records * 0.8 and exact(found), report
        return report
    finally:
        gateway.close()


def ends(upstream, topics):
    """topic → records in all its partitions, now"""
    asked = {TopicPartition(name, at): OffsetSpec.latest() for name in topics for at in range(upstream.topics()[name])}
    found = {name: 0 for name in topics}
    for partition, answer in upstream.admin().list_offsets(asked, request_timeout=10).items():
        found[partition.topic] += answer.result(15).offset
    return found


# --- rejected ---


def rejected(run):
    """What upstream refuses for good is set aside, byte for byte, or stops its topic; everything else goes on."""
    upstream = run.single()
    reports = []
    for policy in ("set-aside", "stop"):
        topics = {f"{policy}-{name}": 2 for name in ("blobs", "dates", "plain")}
        upstream.create_topics(topics)
        gateway = gateway_for(
            run,
            f"rejected-{policy}",
            board="desktop",  # The default board has no room for buffers of such batches.
            forward_on_rejected=policy,
            forward_topics=f"{policy}-*",
            message_max_bytes=5_000_000,
        )
        gateway.start()
        try:
            gateway.create_topics(topics)
            reports.append(rejected_by(run, gateway, upstream, policy))
        finally:
            gateway.close()
    return "; ".join(reports)


def rejected_by(run, gateway, upstream, policy):
    blob_topic, date_topic, plain_topic = (f"{policy}-{name}" for name in ("blobs", "dates", "plain"))
    next_year_ms = int((time.time() + 365 * 86400) * 1000)
    guilty = {
        blob_topic: dict(values=blobs(run, 1, 2_000_000), key=b"too large", headers=[("why", b"size")]),
        date_topic: dict(values=[b"from next year"], key=b"too late", timestamp=next_year_ms),
    }
    for topic in (blob_topic, date_topic, plain_topic):
        send(gateway, topic, 1, numbered("before", 0, 50), config={"batch.num.messages": 1})
    for topic, record in guilty.items():
        send(gateway, topic, 1, **record)
    for topic in (blob_topic, date_topic, plain_topic):
        send(gateway, topic, 1, numbered("after", 0, 50), config={"batch.num.messages": 1})

    local = compare.read(gateway.bootstrap, [blob_topic, date_topic, plain_topic])
    if policy == "stop":
        until("both topics have stopped", 30, lambda: gateway.backlog() == 2 * 51, 0.2)
        up = compare.read(upstream.bootstrap, [blob_topic, date_topic, plain_topic])
        for topic in guilty:
            assert up[topic, 1] == local[topic, 1][:50], f"{topic}: {len(up[topic, 1])} went up before it stopped"
        assert up[plain_topic, 1] == local[plain_topic, 1], "a topic without guilt has stopped too"
        figures = gateway.figures()
        assert int(figures["rejected"]) == 0, figures
        return f"stop: {len(guilty)} topics stopped where they should, the other went on"

    gateway.wait_drained(30)
    up = compare.read(upstream.bootstrap, [blob_topic, date_topic, plain_topic])
    aside = compare.read(gateway.bootstrap, [f"{topic}.rejected" for topic in guilty])
    for topic in guilty:
        assert up[topic, 1] == local[topic, 1][:50] + local[topic, 1][51:], f"{topic}: the rest did not go up as it was"
        assert aside[f"{topic}.rejected", 1] == [local[topic, 1][50]], f"{topic}: not what was set aside"
    assert up[plain_topic, 1] == local[plain_topic, 1]
    figures = gateway.figures()
    assert int(figures["rejected"]) == len(guilty), figures
    assert not any(name.endswith(".rejected") for name in upstream.topics()), "what was set aside has gone up"
    gateway.restart()
    gateway.wait_drained(30)
    gateway.stop()
    for topic in guilty:
        wanted = [batch[LEADER_EPOCH_END:] for batch in batches(gateway, topic, 1)]
        (kept,) = [batch[LEADER_EPOCH_END:] for batch in batches(gateway, f"{topic}.rejected", 1)]
        assert kept in wanted, f"{topic}: the batch set aside is not the one that was written"
    return f"set-aside: {len(guilty)} batches, one of 2 MB, byte for byte; the other {3 * 100} records up"


def batches(gateway, topic, partition):
    """The stored batches' bytes, from the segments of a gateway that was stopped."""
    found = []
    for path in sorted(glob.glob(os.path.join(gateway.data, "topics", f"{topic}-{partition}", "*.log"))):
        with open(path, "rb") as file:
            content = file.read()
        while len(content) >= BATCH_LENGTH_END:
            (length,) = struct.unpack(">i", content[8:BATCH_LENGTH_END])
            if length <= 0:
                break
            found.append(content[: BATCH_LENGTH_END + length])
            content = content[BATCH_LENGTH_END + length :]
    return found
