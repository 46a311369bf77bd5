"""ottla with forwarding switched on, as a process that is killed and started again at the same address."""

import os
import re
import signal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from processes import WORK, Process, until
from proxy import free_port
from upstream import create_topics

OTTLA = os.environ["OTTLA"]
START_SECONDS_MAX = 15
STOP_SECONDS_MAX = 5
FIGURE = "ottla.status.forward."


class Gateway:
    def __init__(self, name, settings, board=None):
        """`board` is a profile's name; None: what the machine gets unasked."""
        self.settings = dict(settings)
        self.board = board
        self.port = free_port()
        self.data = os.path.join(WORK, f"{name}-data")
        self.process = Process(f"{name}-ottla")
        self.control = None

    # --- life ---

    def start(self, **changed):
        """Dots are underscores in the names of `changed`, which stays set."""
        self.settings.update({name.replace("_", "."): value for name, value in changed.items()})
        command = [OTTLA, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}"]
        # The default board has no room for what this takes.
        large = int(self.settings.get("forward.batch.size", 0)) > 65536
        heavy = large or self.settings.get("forward.compression.type") == "zstd"
        board = self.board or ("pi-4" if heavy else None)
        if board:
            command += ["--board", board]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        self.process.spawn(command)
        self.control = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        until("ottla accepts", START_SECONDS_MAX, self.accepts)

    def accepts(self):
        assert self.process.alive(), f"ottla ended: {self.process.log()[-2000:]}"
        try:
            return self.control.list_topics(timeout=1)
        except KafkaException:
            return False

    def kill(self):
        self.process.end(signal.SIGKILL)

    def stop(self):
        """As the service manager does it."""
        code = self.process.end(signal.SIGTERM, STOP_SECONDS_MAX)
        assert code in (0, None), f"ottla ended with {code}"

    def restart(self, **changed):
        self.stop()
        self.start(**changed)

    def close(self):
        """The end of a scenario; what it must not have said."""
        if self.process.alive():
            self.stop()
        else:
            self.process.end()
        panic = re.search(r".*panicked at.*", self.process.log())
        assert panic is None, panic.group(0)

    # --- what is asked of it ---

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def create_topics(self, topics, config=None):
        create_topics(self.control, topics, 1, config)

    def figures(self):
        """What it says about forwarding: name, without its common beginning → text."""
        resource = ConfigResource(ConfigResource.Type.BROKER, "1")
        (answer,) = self.control.describe_configs([resource], request_timeout=5).values()
        entries = answer.result().values()
        return {entry.name[len(FIGURE) :]: entry.value for entry in entries if entry.name.startswith(FIGURE)}

    def topic_figures(self, topic):
        """The parts of one topic's figure: name → text."""
        text = self.figures().get(f"topic.{topic}", "")
        return dict(part.split("=", 1) for part in text.split(";") if "=" in part)

    def backlog(self):
        """Records that wait to go up; None when it does not answer."""
        try:
            return int(self.figures()["backlog.records"])
        except KafkaException:
            return None

    def wait_drained(self, seconds_max):
        def drained():
            assert self.process.alive(), f"ottla ended: {self.process.log()[-2000:]}"
            return self.backlog() == 0

        until("the backlog is zero", seconds_max, drained, 0.2)

    def steer(self, name, value):
        """`paused` or `seek`, as `ottla forward` does it."""
        entry = ConfigEntry(f"ottla.forward.{name}", value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.BROKER, "1", incremental_configs=[entry])
        (answer,) = self.control.incremental_alter_configs([resource]).values()
        answer.result()
