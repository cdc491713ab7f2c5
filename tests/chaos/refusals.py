"""R3 and L1: what needs no load. A protocol that cannot keep the promise is refused; nothing is stuck for ever."""

from __future__ import annotations

from multiprocessing import Pool
from pathlib import Path

from pipelines import pipeline
from simulation.walks import failure, liveness_walk
from waiting import until

from chaos.scenario import trial
from chaos.table import Result
from streambg.errors import ConfigError

WORKERS = 2
ASKED, STUCK = "group.protocol=consumer asked for", "all but a core of the processes dead or blind for ever (seeds)"


@trial("R3", ASKED, counts=(1, 1, 1))
def other_protocol(bootstrap: str, count: int, folder: Path) -> Result:
    """Every process of the pipeline says so, and ends."""
    with pipeline(folder, bootstrap, "chaos-r3") as run:
        file = folder / "asked.yaml"
        address = f'bootstrap: "{bootstrap}"'
        file.write_text(
            run.pipeline.file.read_text().replace(address, f"{address}, client: {{group.protocol: consumer}}")
        )
        roles = (("scorer", "--color", "blue"), ("publisher",), ("comparator",))
        processes = [run.start(*role, file=file) for role in roles]
        until(lambda: all(each.popen.poll() is not None for each in processes), 30, "each has ended")
        refused = sum(
            each.popen.returncode == ConfigError.exit_code and "group.protocol: refused" in each.log.read_text()
            for each in processes
        )
        note = f"{refused} of {len(processes)} processes"
        met = refused == len(processes)
        return Result("R3", ASKED, count, 0, 0, 0, 0, 0, 0.0, None, "refused at start with the reason", met, note)


@trial("L1", STUCK, counts=(50, 1_000, 10_000))
def liveness(_bootstrap: str, count: int, _folder: Path) -> Result:
    """In the simulator; a seed that is stuck is said again by `make simulate ARGS="--liveness --seed N"`."""
    with Pool(WORKERS) as pool:
        stuck = [seed for seed, bad in enumerate(pool.imap(_stuck, range(count), chunksize=10)) if bad]
    note = f"stuck: {', '.join(map(str, stuck[:10]))}" if stuck else ""
    return Result("L1", STUCK, count, 0, 0, 0, 0, len(stuck), 0.0, None, "progress, 0 stuck", not stuck, note)


def _stuck(seed: int) -> bool:
    return failure(seed, liveness_walk) is not None
