"""Every error a user can meet, as one tree; each class has the exit code its process ends with.

    StreambgError                 1   something streambg can explain
    ├── ConfigError               2   a file, flag or environment value is wrong (says file, line, nearest right key)
    ├── Misconfigured             2   the servers are not as the pipeline needs them (topics, partitions, settings)
    ├── Unreachable               3   a broker, Redis or registry does not answer
    ├── Denied                    4   the server said no (authentication, authorization)
    ├── Refused                   5   a command was not accepted by the control log; nothing changed
    ├── OutcomeUnknown            6   a command was sent, whether it counts is not known yet
    ├── Fenced                    7   another process runs under this name; this one must not go on
    ├── Gap                       8   data that is owed is gone; a person decides how to go on
    ├── UpgradeFirst              9   the control log holds a newer format than this process knows
    ├── Hung                     13   a call into a client never returned; the process ended itself
    ├── ContractChanged          14   a version does not keep the contract that readers of the output rely on
    ├── ModelError               15   an artifact, its manifest or its code cannot be used
    └── SessionEnded              -   internal: throw this session away and start a new one (P21)

Beside the tree: 0 is well; 1 is also the word of a verb that judges (`audit`, `demo`, `doctor`, `status --check`: a
person should look); 2 is also a flag that does not exist; 3 is also `broker status` where none answers; 10, 11 and 12
are verdicts; 130 is Ctrl-C.
docs/operations.md has this table with what to do next; a test keeps the two alike.
"""

from __future__ import annotations


class StreambgError(Exception):
    """What happened, with the measured value and the limit; `way_out` says what to do next."""

    exit_code = 1

    def __init__(self, what: str, *, way_out: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.what}\n  way out: {self.way_out}" if self.way_out else self.what


class ConfigError(StreambgError):
    """A file, flag or environment value is wrong."""

    exit_code = 2


class Misconfigured(StreambgError):
    """The servers are not as the pipeline needs them."""

    exit_code = 2


class Unreachable(StreambgError):
    """A broker, Redis or registry does not answer."""

    exit_code = 3


class Denied(StreambgError):
    """Authentication or authorization failed."""

    exit_code = 4


class Refused(StreambgError):
    """A command was not accepted; nothing changed."""

    exit_code = 5


class OutcomeUnknown(StreambgError):
    """A command was sent and may or may not count (P5)."""

    exit_code = 6


class Fenced(StreambgError):
    """Another process runs under this transactional id or group instance id (P21)."""

    exit_code = 7


class Gap(StreambgError):
    """Data that is owed is gone (P27, P29)."""

    exit_code = 8


class UpgradeFirst(StreambgError):
    """The control log holds a newer format than this process knows (P5)."""

    exit_code = 9


class Hung(StreambgError):
    """A call into a client overran its timeout by far (process/watch.py), or too many did (kafka/beside.py)."""

    exit_code = 13


class ContractChanged(StreambgError):
    """A version does not keep the contract that readers of the output rely on (control/contract.py)."""

    exit_code = 14


class ModelError(StreambgError):
    """An artifact, its manifest or its code cannot be used."""

    exit_code = 15


class SessionEnded(StreambgError):
    """Throw this session away and start a new one; nothing is retried inside a session (P21)."""
