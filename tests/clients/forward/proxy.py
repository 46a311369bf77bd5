"""The bad link: a TCP proxy in front of one upstream broker that counts, delays, throttles, stalls and cuts.

It follows the requests' frames on their way up, so that it can cut where it hurts: in the middle of a Produce request,
or between a Produce request that arrived whole and its answer. All proxies of a process share one thread.
"""

import asyncio
import random
import socket
import struct
import threading
import time

CHUNK_BYTES = 65536
# Kafka's frames begin with the length (4 bytes) and, in requests, the API's key (2 bytes).
HEAD_BYTES = 6
PRODUCE = 0
# RST instead of FIN: what a modem does that forgets its table.
LINGER_RESET = struct.pack("ii", 1, 0)

_loop = asyncio.new_event_loop()
_thread = threading.Thread(target=_loop.run_forever, name="proxies", daemon=True)
_thread.start()


def _call(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result(30)


class Frames:
    """Where Produce requests begin and end in a stream of requests."""

    def __init__(self):
        self.head = b""
        self.rest = 0
        self.is_produce = False

    def feed(self, chunk):
        """Yields ("begin", where, bytes of the body) and ("end", where) for each Produce request in this chunk."""
        at = 0
        while at < len(chunk):
            if len(self.head) < HEAD_BYTES:
                took = chunk[at : at + HEAD_BYTES - len(self.head)]
                self.head += took
                at += len(took)
                if len(self.head) < HEAD_BYTES:
                    return
                length, key = struct.unpack(">ih", self.head)
                self.rest = length - 2
                self.is_produce = key == PRODUCE
                if self.is_produce:
                    yield ("begin", at, self.rest)
            took = min(self.rest, len(chunk) - at)
            self.rest -= took
            at += took
            if self.rest == 0:
                self.head = b""
                if self.is_produce:
                    yield ("end", at, 0)


class Connection:
    def __init__(self, proxy, writers):
        self.proxy = proxy
        self.writers = writers
        self.frames = Frames()
        # Bytes that still pass in a direction before the connection is cut; None: no cut is due.
        self.up_left = None
        self.down_left = None

    def cut(self):
        for writer in self.writers:
            raw = writer.get_extra_info("socket")
            if raw is not None and raw.fileno() >= 0 and self.proxy.random.random() < 0.5:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            writer.transport.abort()

    def look_for_produce(self, chunk):
        """Arms this connection's cut when the proxy is armed and a Produce request comes by."""
        proxy = self.proxy
        for what, where, body in self.frames.feed(chunk):
            if what == "begin":
                proxy.produce_requests += 1
                if proxy.armed["request"] > 0 and self.up_left is None:
                    proxy.armed["request"] -= 1
                    proxy.cut_requests += 1
                    self.up_left = where + proxy.random.randrange(max(body, 1))
            elif proxy.armed["answer"] > 0 and self.down_left is None and self.up_left is None:
                proxy.armed["answer"] -= 1
                proxy.cut_answers += 1
                self.down_left = proxy.random.choice((0, 0, 3, 20, 60))


class Proxy:
    """One listening port, one target. The fields below may be set at any time, from any thread."""

    def __init__(self, target_port, seed=0):
        self.target_port = target_port
        self.random = random.Random(seed)
        self.delay_s = 0.0
        self.up_bytes_per_second = 0
        self.stalled_until = 0.0
        self.refuses = False
        # How many of the next Produce requests, or of their answers, are to be cut.
        self.armed = {"request": 0, "answer": 0}
        self.cut_requests = self.cut_answers = self.cut_idle = 0
        self.produce_requests = 0
        self.up_bytes = self.down_bytes = 0
        self.connections = set()
        self.server = None
        self.port = _call(self._listen())

    async def _listen(self):
        # Below the range of the ports that the system hands out to clients: it stays free for a restart.
        self.server = await asyncio.start_server(self._accepted, "127.0.0.1", free_port(), limit=CHUNK_BYTES)
        return self.server.sockets[0].getsockname()[1]

    async def _accepted(self, reader, writer):
        if self.refuses:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=CHUNK_BYTES)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(self, (writer, up_writer))
        self.connections.add(connection)
        try:
            await asyncio.gather(
                self._pump(connection, reader, up_writer, True), self._pump(connection, up_reader, writer, False)
            )
        finally:
            self.connections.discard(connection)
            for each in (writer, up_writer):
                each.transport.abort()

    async def _pump(self, connection, reader, writer, is_up):
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                # What has been read before a stall is held back as well.
                while (stalled_s := self.stalled_until - time.monotonic()) > 0:
                    await asyncio.sleep(min(stalled_s, 0.05))
                if self.delay_s > 0:
                    await asyncio.sleep(self.delay_s)
                if is_up:
                    connection.look_for_produce(chunk)
                    self.up_bytes += len(chunk)
                else:
                    self.down_bytes += len(chunk)
                if self._passes(connection, writer, chunk, is_up):
                    break
                await writer.drain()
                if is_up and self.up_bytes_per_second > 0:
                    await asyncio.sleep(len(chunk) / self.up_bytes_per_second)
        except (ConnectionError, OSError):
            pass
        # One direction has ended: so has the other, as with a lost link.
        for each in connection.writers:
            each.transport.abort() if each is not writer else each.close()

    def _passes(self, connection, writer, chunk, is_up):
        """Writes the chunk, or the part of it before the cut. True: the connection is cut."""
        left = connection.up_left if is_up else connection.down_left
        if left is None:
            writer.write(chunk)
            return False
        writer.write(chunk[:left])
        if left <= len(chunk):
            # The part is to arrive: an abort throws away what is not written yet.
            if writer.transport.get_write_buffer_size() == 0 or not is_up:
                connection.cut()
            return True
        if is_up:
            connection.up_left -= len(chunk)
        else:
            connection.down_left -= len(chunk)
        return False

    def cut_all(self):
        async def cut():
            self.cut_idle += len(self.connections)
            for connection in tuple(self.connections):
                connection.cut()

        _call(cut())

    def cut_next(self, what):
        """The next Produce request ("request"), or the answer to it ("answer"), is cut."""
        self.armed[what] += 1

    def stall(self, seconds):
        """A black hole: nothing passes for so long, and nothing is said about it."""
        self.stalled_until = max(self.stalled_until, time.monotonic() + seconds)

    def calm(self):
        """Everything passes again."""
        self.delay_s, self.up_bytes_per_second, self.stalled_until, self.refuses = 0.0, 0, 0.0, False
        self.armed = {"request": 0, "answer": 0}

    def close(self):
        async def close():
            self.server.close()
            for connection in tuple(self.connections):
                connection.cut()

        _call(close())


def free_port():
    """A port that nobody has, outside the range of the ports that clients get (32768 and up)."""
    while True:
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
