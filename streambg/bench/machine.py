"""What it ran on, for the report: processor, memory, versions."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka

LIBRARIES = ("confluent-kafka", "numpy", "msgspec", "river", "faust-streaming")


def facts(broker: str) -> dict[str, Any]:
    """`broker`: in words. Nothing in it names this machine or a path on it."""
    return {
        "processor": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gb": round(int((_line("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 1e6, 1),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "broker": broker.partition(" (")[0],
        "streambg": version("streambg"),
        "librdkafka": confluent_kafka.libversion()[0],
        **{name: version(name) for name in LIBRARIES},
    }


def _line(file: str, name: str) -> str | None:
    try:
        lines = Path(file).read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
