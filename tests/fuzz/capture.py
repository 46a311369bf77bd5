#!/usr/bin/env python3
"""Makes inputs for the fuzz targets from what real clients and a real broker say to each other.

    tests/fuzz/capture.py BROKER LISTEN OUTPUT DATA

A proxy: clients dial LISTEN (host:port), which the broker at BROKER must advertise, and every request and answer
goes through unchanged. At the end (SIGTERM) each kind of request, by API, version and client, is one input for
`requests` (named so: such a file is also expected to be answered by `fuzz_replay`), its answer one for `answers`, a Produce body one for `produce_stream`, and the batches of both for
`batches`; what lies in the broker's data directory DATA becomes inputs for `coordinator`, `journal`, `segments`.

Then minimise: target/fuzz/HOST/release/TARGET -merge=1 tests/fuzz/corpus/TARGET OUTPUT/TARGET
"""
import asyncio
import hashlib
import pathlib
import signal
import struct
import sys

# The readers of `targets/answers.rs` by API key, in its order, with the lowest version that they read.
READERS = {key: (at, low) for at, (key, low) in enumerate([
    (18, 0), (32, 1), (44, 0), (1, 4), (11, 2), (14, 1), (12, 1), (13, 1), (15, 1), (16, 1), (42, 0), (3, 4),
    (60, 0), (10, 1), (2, 1), (8, 2), (9, 2), (47, 0), (21, 0), (0, 3), (22, 0), (61, 0), (19, 2), (20, 1), (37, 0)])}
INPUT_BYTES_MAX = 3000
# Conversations: requests of one connection, one behind the other, as `requests` takes them.
CONVERSATION_BYTES_MAX = 2500

seen = set()
output = pathlib.Path(sys.argv[3])


def keep(target, name, data, file=None):
    if len(data) > INPUT_BYTES_MAX or (target, name) in seen:
        return
    seen.add((target, name))
    directory = output / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / (file or hashlib.sha1(data).hexdigest())).write_bytes(data)


def client_name(client_id):
    """The client as files are named after it: what stands in front in its id, which kafka-go makes of its program."""
    known = {b"kgo": "franz-go", b"": "kafka-go"}
    kafka_go = b"segmentio" in client_id
    word = "".join(c if c.isalnum() else "-" for c in client_id[:16].decode("ascii", "replace"))
    return "kafka-go" if kafka_go else known.get(client_id) or word.rstrip("-")


def request_item(frame):
    return bytes([3 << 2]) + struct.pack(">H", len(frame)) + frame


def batches_in(target_name, data):
    at = data.find(b"\x02", 16)
    while at >= 16:
        start = at - 16
        if len(data) >= start + 61:
            length = struct.unpack(">i", data[start + 8:start + 12])[0] + 12
            if 61 < length <= len(data) - start:
                batch = data[start:start + length]
                keep("batches", (target_name, batch[22], length // 64), b"\x00" + batch)
        at = data.find(b"\x02", at + 1)


class Connection:
    def __init__(self):
        self.asked = {}
        self.conversation = b""
        self.count = 0

    def request(self, frame):
        key, version, correlation = struct.unpack(">hhi", frame[:8])
        name = struct.unpack(">h", frame[8:10])[0]
        client = frame[10:10 + max(name, 0)]
        header = 10 + max(name, 0)
        self.asked[correlation] = (key, version)
        if len(frame) > 0xffff:
            # The targets' items have two bytes for the length.
            return
        maker = client_name(client)
        item = request_item(frame)
        keep("requests", (key, version, maker), item, f"{maker}-{key:02}-{version:02}")
        if len(frame) < 1200:
            self.conversation += item
        if len(self.conversation) > CONVERSATION_BYTES_MAX:
            self.end()
        if key == 0:
            body = frame[header + (1 if version >= 9 else 0):]
            keep("produce_stream", (version, len(body) // 100), bytes([(version - 3) << 1, 2, 9, 40, 7]) + body)
            batches_in("produce", body)

    def end(self):
        self.count += 1
        if self.count <= 4:
            keep("requests", hashlib.sha1(self.conversation).digest(), self.conversation[:INPUT_BYTES_MAX])
        self.conversation = b""

    def answer(self, frame):
        asked = self.asked.pop(struct.unpack(">i", frame[:4])[0], None)
        if asked is None:
            return
        key, version = asked
        if key == 1:
            batches_in("fetch", frame)
        if key in READERS and version >= READERS[key][1]:
            at, low = READERS[key]
            keep("answers", (key, version, len(frame) // 200), bytes([at, (version - low) << 1]) + frame)


async def pump(reader, writer, seen_frame):
    buffered = b""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            buffered += data
            while len(buffered) >= 4 and len(buffered) >= 4 + struct.unpack(">I", buffered[:4])[0]:
                end = 4 + struct.unpack(">I", buffered[:4])[0]
                seen_frame(buffered[4:end])
                buffered = buffered[end:]
    except (ConnectionError, struct.error):
        pass
    writer.close()


def files(data):
    for path in sorted(data.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.name.startswith("coordinator"):
            keep("coordinator", path.name, b"\x00" + content)
            keep("coordinator", path.name + " state", b"\x02" + content[20:])
        elif path.name == "journal":
            keep("journal", path.name, b"\x01" + content[:INPUT_BYTES_MAX - 1])
            for at in range(4096, len(content) - 48, 8):
                if content[at:at + 4] == b"OtJ1":
                    length = struct.unpack("<I", content[at + 28:at + 32])[0]
                    frame = content[at:at + 48 + length]
                    keep("journal", (frame[36], length // 100), b"\x00" + frame)
                    if frame[36] == 4:
                        keep("coordinator", ("change", frame[48]), b"\x03" + frame[48:])
        elif path.suffix == ".log" and content:
            index = path.with_suffix(".index")
            log = content[:2000]
            head = struct.pack(">HH", len(log) & ~1, min(len(content), 65535))
            keep("segments", len(content) // 500, head + log[:len(log) & ~1]
                 + (index.read_bytes()[:500] if index.exists() else b""))


async def main():
    broker, listen = (address.rsplit(":", 1) for address in sys.argv[1:3])

    async def accept(reader, writer):
        connection = Connection()
        there, back = await asyncio.open_connection(*broker)
        await asyncio.gather(pump(reader, back, connection.request), pump(there, writer, connection.answer))
        connection.end()

    server = await asyncio.start_server(accept, *listen)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        await stop.wait()
    files(pathlib.Path(sys.argv[4]))
    for directory in sorted(output.iterdir()):
        print(directory.name, len(list(directory.iterdir())))
    # Connections that clients left open do not keep us.
    sys.stdout.flush()
    import os
    os._exit(0)


asyncio.run(main())
