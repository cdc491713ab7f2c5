"""The demo on servers and processes that run already, such as those of docker-compose.yml (`--attach`)."""

from __future__ import annotations

from streambg import topicplan
from streambg.config import Pipeline
from streambg.control import verbs
from streambg.control.state import Phase
from streambg.errors import ConfigError
from streambg.kafka import profiles
from streambg.kafka.looking import Look
from streambg.servers import Servers

CLIENT = "streambg.demo.attached"
EMPTY = "attach to an empty pipeline; in containers: `docker compose down --volumes`, then `docker compose up --wait`"


def servers(pipeline: Pipeline) -> Servers:
    """Those that the pipeline file and the environment name; none of them is ours to stop."""
    return Servers(pipeline.kafka.bootstrap, pipeline.redis, None, None)


def require_empty(pipeline: Pipeline) -> int:
    """How many partitions the input has, of a pipeline in which nothing has happened yet.

    The demo counts from the first event on, and nobody's own stream shall be mixed with made-up events. Raises
    ConfigError where something has happened, Misconfigured where topics are missing, Unreachable, Denied.
    """
    topicplan.check(pipeline, topicplan.connect(pipeline))
    partitions = verbs.partitions_of_input(pipeline)
    with verbs.client(pipeline) as control:
        state = control.state()
    if state.phase is not Phase.EMPTY:
        raise ConfigError(
            f"the control log of {pipeline.name} at {pipeline.kafka.bootstrap} is not empty: {state.summary()}",
            way_out=EMPTY,
        )
    topics = (pipeline.topics.input, pipeline.topics.output)
    with Look(profiles.reader(pipeline, CLIENT)) as look:
        for topic in topics:
            if used := [number for number in range(partitions) if look.ends(topic, number)[1] > 0]:
                raise ConfigError(
                    f"the topic {topic} at {pipeline.kafka.bootstrap} is not empty (partitions {used})", way_out=EMPTY
                )
    return partitions
