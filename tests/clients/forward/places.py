"""The short scenarios about where records go: names, partitions, and an upstream that is not what it was."""

import collections
import time

import compare
from compare import exact, words
from confluent_kafka import TopicPartition
from rules import DRAIN_SECONDS_MAX, both_sides, gateway_for, numbered, send


def fill(gateway, topics, begin, end):
    """Records begin..end in each partition of each topic (name → partitions)."""
    for topic, partitions in topics.items():
        for partition in range(partitions):
            send(gateway, topic, partition, numbered(f"{topic}-{partition}", begin, end))


def names(run):
    """Patterns, the exclusion, the prefix, the new name, and topics that are created upstream."""
    upstream = run.single()
    topics = {"n-sensors": 3, "n-logs": 2, "n-secret": 1, "other": 1}
    gateway = gateway_for(
        run,
        "names",
        forward_topics="n-*",
        forward_topics_exclude="n-secret",
        forward_topic_prefix="site17.",
        forward_topic_rename="n-sensors -> plant.sensors",
        forward_create_topics="true",
    )
    gateway.start()
    try:
        gateway.create_topics(topics)
        fill(gateway, topics, 0, 200)
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        there = {name: count for name, count in upstream.topics().items() if "." in name}
        assert there == {"plant.sensors": 3, "site17.n-logs": 2}, f"upstream has {there}"
        new = {"n-sensors": "plant.sensors", "n-logs": "site17.n-logs"}
        local, up = both_sides(gateway, upstream, list(new), list(new.values()))
        found = compare.compare(local, up, lambda topic, partition: (new[topic], partition))
        report = f"{found.records} records to {', '.join(there)}; {words(found)}"
        assert exact(found), "\n".join([report, *found.shown])
        return report
    finally:
        gateway.close()


# --- partitions ---


def scattered(local, up):
    """local partition → upstream partitions that have records of it; every record is up once and in order."""
    home = {record: log for log, records in local.items() for record in records}
    pieces = collections.defaultdict(lambda: collections.defaultdict(list))
    for log, records in up.items():
        for record in records:
            assert record in home, f"{log}: a foreign record"
            pieces[home[record]][log].append(record)
    for log, records in local.items():
        place = {record: at for at, record in enumerate(records)}
        found = []
        for piece in pieces[log].values():
            places = [place[record] for record in piece]
            assert places == sorted(places), f"{log}: out of order"
            found += places
        assert sorted(found) == list(range(len(records))), f"{log}: {len(found)} of {len(records)} records upstream"
    return {log: sorted(pieces[log]) for log in local}


def partitions(run):
    """Fewer partitions upstream, more of them later; and `pinned`, which survives a restart."""
    upstream = run.single()
    upstream.create_topics({"wide": 2, "pool": 8})
    local = {"wide": 5}
    gateway = gateway_for(run, "partitions", forward_topics="wide")
    gateway.start()
    try:
        gateway.create_topics(local)
        fill(gateway, local, 0, 200)
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        homes = scattered(*both_sides(gateway, upstream, ["wide"]))
        assert homes == {("wide", at): [("wide", at % 2)] for at in range(5)}, homes
        upstream.add_partitions("wide", 5)
        fill(gateway, local, 200, 400)
        gateway.restart()
        fill(gateway, local, 400, 600)
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        homes = scattered(*both_sides(gateway, upstream, ["wide"]))
        moved = sum(len(homes[log]) > 1 for log in homes)
        # The start looked at upstream anew: partitions 2, 3 and 4 have one of their own number by now.
        assert moved == 3, f"{moved} moved: {homes}"
    finally:
        gateway.close()
    return f"5 partitions to 2, order kept; {moved} moved when there were 5; {pinned(run)}"


def pinned(run):
    """Four gateways share a topic: each of their partitions has one home."""
    upstream, homes, local = run.single(), {}, {"pool": 2}
    all_up = collections.Counter()
    for number in range(4):
        gateway = gateway_for(run, f"pinned-{number}", forward_topics="pool", forward_partitions="pinned")
        gateway.start()
        try:
            gateway.create_topics(local)
            for round_ in range(2):
                for partition in range(2):
                    values = numbered(f"gateway {number}, {partition}", round_ * 100, round_ * 100 + 100)
                    send(gateway, "pool", partition, values)
                gateway.wait_drained(DRAIN_SECONDS_MAX)
                gateway.restart()
            mine, up = both_sides(gateway, upstream, ["pool"])
            own = {record for records in mine.values() for record in records}
            here = {log: [record for record in records if record in own] for log, records in up.items()}
            for (_, partition), where in scattered(mine, here).items():
                assert len(where) == 1, f"gateway {number}, partition {partition} is in {where}"
                homes[number, partition] = where[0][1]
            all_up = sum(len(records) for records in up.values())
        finally:
            gateway.close()
    assert all_up == 4 * 2 * 200, f"{all_up} records in the pool"
    return f"pinned: {len(homes)} partitions of 4 gateways in {len(set(homes.values()))} of 8, each in one"


# --- changes ---


def changes(run):
    """A topic deleted and made anew upstream, a gap in the local log, a pause, a seek; then another cluster."""
    upstream = run.single()
    topics = {"made-anew": 2, "gap": 1}
    upstream.create_topics(topics)
    gateway = gateway_for(run, "changes", forward_topics="made-anew,gap")
    gateway.start()
    try:
        gateway.create_topics(topics)
        fill(gateway, topics, 0, 300)
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        anew(gateway, upstream)
        gap(gateway, upstream)
        seek(gateway, upstream)
        upstream.stop()
        upstream.new_identity()
        upstream.start()
        upstream.create_topics(topics)
        fill(gateway, topics, 1000, 1200)
        gateway.wait_drained(DRAIN_SECONDS_MAX)
        local, up = both_sides(gateway, upstream, list(topics))
        for log, records in up.items():
            assert records == local[log][-200:], f"{log}: {len(records)} records in the other cluster"
        assert "cluster" in gateway.process.log(), "nothing is said about the other cluster"
        return "topic made anew, gap, pause, seek and another cluster: on from the cursor each time"
    finally:
        gateway.close()


def anew(gateway, upstream):
    upstream.delete_topic("made-anew")
    fill(gateway, {"made-anew": 2}, 300, 400)
    time.sleep(1)
    upstream.create_topics({"made-anew": 2})
    fill(gateway, {"made-anew": 2}, 400, 500)
    gateway.wait_drained(DRAIN_SECONDS_MAX)
    local, up = both_sides(gateway, upstream, ["made-anew"])
    for log, records in up.items():
        assert records == local[log][300:], f"{log}: {len(records)} records in the topic made anew, not 200"


def gap(gateway, upstream):
    """DeleteRecords takes what has not gone up yet: there is a gap, and sequences go on behind it."""
    gateway.steer("paused", "true")
    send(gateway, "gap", 0, numbered("gap-0", 300, 800))
    assert gateway.backlog() == 500, f"backlog {gateway.backlog()} while paused"
    (answer,) = gateway.control.delete_records([TopicPartition("gap", 0, 450)]).values()
    answer.result()
    gateway.steer("paused", "false")
    gateway.wait_drained(DRAIN_SECONDS_MAX)
    values = compare.read(upstream.bootstrap, ["gap"], lambda message: message.value())["gap", 0]
    assert values == numbered("gap-0", 0, 300) + numbered("gap-0", 450, 800), f"{len(values)} records around the gap"


def seek(gateway, upstream):
    """Records go up again when a person says so, and only then."""
    gateway.steer("seek", "gap:0:700")
    gateway.wait_drained(DRAIN_SECONDS_MAX)
    values = compare.read(upstream.bootstrap, ["gap"], lambda message: message.value())["gap", 0]
    assert values[-100:] == numbered("gap-0", 700, 800) and len(values) == 750, f"{len(values)} records after the seek"
