"""Every rule broken once, and the test that notices: `python tests/rules_broken.py [--only P7] [--output json]`.

The tree is copied, and in the copy one rule at a time is broken (breaks/). The test that the break names must fail
there, by an assertion or an error that it did not expect; not because the code no longer loads. Unbroken it must pass.
A mutant of the simulator brings its patch along: its test fails where the seed does not find it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import pytest
from breaks import BREAKS
from breaks.one import Break
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
# A test named here takes seconds; what a break makes wait for ever is ended, and does not count as noticed.
PATIENCE_S = 120.0
# All of them unbroken, one after the other: the simulator's seeds take a minute of it.
UNBROKEN_S = 600.0
# A failure of these kinds says that the break broke Python, not the rule.
NO_CODE = (
    "SyntaxError",
    "IndentationError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "UnboundLocalError",
    "AttributeError",
    "TypeError",
)

# Others' modules are imported once, ours by each process: a run takes a third of the time.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("pytest", "xdist", "hypothesis.strategies", "numpy", "xxhash", "yaml", "rich.console", "structlog"),
        *("confluent_kafka.admin", "msgspec", "pydantic", "redis.asyncio"),
    ]
)

console, errors = Console(), Console(stderr=True)


class Verdict(StrEnum):
    """What came of a run of tests."""

    PASSED = "it passed"
    FAILED = "it failed"
    NO_CODE = "the code does not run at all"
    NOTHING = "no test ran to its end"


@dataclass(frozen=True, slots=True)
class Said:
    """A run's verdict; the first test that failed, and the first line of why."""

    verdict: Verdict
    why: str = ""
    test: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A break, whether its test noticed it, what the test said, and how long that took."""

    broken: Break
    caught: bool
    said: str
    seconds: float


def judged(report: ET.Element) -> Said:
    """A junit report of pytest as a verdict."""
    ran = [case for case in report.iter("testcase") if case.find("skipped") is None]
    failed = [(case, found) for case in ran for found in case if found.tag in ("error", "failure")]
    if not failed:
        return Said(Verdict.PASSED if ran else Verdict.NOTHING)
    why = [(found.get("message") or "").split("\n")[0] for _, found in failed]
    no_code = any(
        found.tag == "error" or line.startswith(NO_CODE) for (_, found), line in zip(failed, why, strict=True)
    )
    return Said(Verdict.NO_CODE if no_code else Verdict.FAILED, why[0], failed[0][0].get("name", ""))


def run(tree: Path, nodes: Sequence[str], limit_s: float, *, keep_bytecode: bool = False) -> Said:
    """These tests in the copy, with the copy's code. keep_bytecode: only of what is not broken."""
    report = tree.parent / "report.xml"
    report.unlink(missing_ok=True)
    process = FORKS.Process(target=_in_the_copy, args=(tree, nodes, report, keep_bytecode))
    process.start()
    try:
        process.join(limit_s)
        late = process.is_alive()
    finally:
        process.kill()
        process.join()
    if late:
        return Said(Verdict.NOTHING, f"not done within {limit_s:g} s")
    return judged(ET.parse(report).getroot()) if report.exists() else Said(Verdict.NOTHING, "no report")


def _in_the_copy(tree: Path, nodes: Sequence[str], report: Path, keep_bytecode: bool) -> None:
    """In a process of its own, which has imported nothing of streambg yet: the copy's comes before the installed one,
    here and in what a test starts.
    """
    assert "streambg" not in sys.modules
    with Path(os.devnull).open("w") as nowhere:
        for told in (1, 2):
            os.dup2(nowhere.fileno(), told)
    own = [str(tree), str(tree / "tests")]
    sys.path[:] = [*own, *(path for path in sys.path if path not in (str(ROOT), str(ROOT / "tests")))]
    os.environ["PYTHONPATH"] = os.pathsep.join(own)
    os.chdir(tree)
    sys.dont_write_bytecode = not keep_bytecode
    # what was imported before pytest began cannot say more about its assertions; ours is imported behind it
    quiet = ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    raise SystemExit(pytest.main([*quiet, f"--junit-xml={report}", *nodes]))


def copy(root: Path, tree: Path) -> None:
    """What git knows of the tree, as it stands there now, with its times."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tree / name)


def replaced(text: str, broken: Break) -> str:
    """Raises ValueError where the break's text does not stand there exactly once."""
    if text.count(broken.text) != 1:
        raise ValueError(f"P{broken.rule}: in {broken.file} stands {text.count(broken.text)} times: {broken.text!r}")
    return text.replace(broken.text, broken.instead)


def try_one(tree: Path, broken: Break) -> Said:
    """Break it, run its test, mend it."""
    file = tree / broken.file
    right, times = file.read_text(), file.stat()
    try:
        file.write_text(replaced(right, broken))
        # Python compares whole seconds and sizes with its compiled files: no break may look like what was compiled
        os.utime(file, (times.st_atime, times.st_mtime + 10))
        return run(tree, [broken.node], PATIENCE_S)
    finally:
        file.write_text(right)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def prove(breaks: Sequence[Break], root: Path) -> Iterator[Result]:
    """One result a break. Raises RuntimeError where a test fails although nothing is broken."""
    with tempfile.TemporaryDirectory(prefix="streambg-rules-") as folder:
        tree = Path(folder) / "tree"
        copy(root, tree)
        began = time.monotonic()
        unbroken = run(tree, sorted({broken.node for broken in breaks}), UNBROKEN_S, keep_bytecode=True)
        if unbroken.verdict is not Verdict.PASSED:
            raise RuntimeError(f"with nothing broken {unbroken.verdict}: {unbroken.test} {unbroken.why}")
        took = time.monotonic() - began
        for broken in breaks:
            if broken.mutant is not None:
                yield Result(broken, True, "the seed fails with it, and only with it", took / len(breaks))
                continue
            began = time.monotonic()
            said = try_one(tree, broken)
            caught = said.verdict is Verdict.FAILED
            yield Result(broken, caught, said.why if caught else f"{said.verdict} {said.why}", time.monotonic() - began)


# -- the command line ------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None, breaks: Iterable[Break] = BREAKS, root: Path = ROOT) -> int:
    """Exit code 1: a break that nothing noticed; or, with its reason on stderr, nothing could be tried."""
    breaks = tuple(breaks)
    options = argparse.ArgumentParser(
        prog="make mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Example:  make mutants ARGS="--only P7 --only P8"',
    )
    options.add_argument("--only", action="append", default=[], metavar="RULE", help="such as P7; may be given again")
    options.add_argument("--output", choices=["text", "json"], default="text")
    given = options.parse_args(arguments)
    known = {f"P{broken.rule}" for broken in breaks}
    if unknown := sorted(set(given.only) - known):
        options.error(f"no such rule: {', '.join(unknown)}; there are P1 to P{max(broken.rule for broken in breaks)}")
    chosen = [broken for broken in breaks if not given.only or f"P{broken.rule}" in given.only]
    errors.print(f"{len(chosen)} tests with nothing broken, then one break after the other ...", highlight=False)
    results = []
    try:
        for result in prove(chosen, root):
            results.append(result)
            errors.print(f"{len(results)}/{len(chosen)} {_line(result)}", highlight=False, markup=False, soft_wrap=True)
    except (RuntimeError, ValueError, subprocess.CalledProcessError) as error:
        errors.print(str(error), markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        errors.print(f"stopped behind {len(results)} of {len(chosen)}; the copy is gone")
        return 130
    if given.output == "json":
        sys.stdout.write(json.dumps([_data(each) for each in results], indent=2) + "\n")
    else:
        console.print(_table(results))
    return 0 if all(result.caught for result in results) else 1


def _line(result: Result) -> str:
    word = "caught" if result.caught else "NOT CAUGHT"
    return f"P{result.broken.rule} {result.broken.how}: {word} in {result.seconds:.1f} s: {result.said[:160]}"


def _data(result: Result) -> dict[str, object]:
    broken = {**asdict(result.broken), "rule": f"P{result.broken.rule}", "test": result.broken.node}
    return {**broken, "caught": result.caught, "said": result.said, "seconds": round(result.seconds, 2)}


def _table(results: Sequence[Result]) -> Table:
    missed = sum(not result.caught for result in results)
    table = Table("rule", "broken how", caption=f"{len(results)} breaks, {missed} not caught")
    table.add_column("caught by", overflow="fold")
    table.add_column("s", justify="right")
    for each in results:
        by = each.broken.node.rpartition("::")[2].replace("[", r"\[")
        caught = by if each.caught else f"NOT CAUGHT by {by}: {each.said}"
        table.add_row(f"P{each.broken.rule}", each.broken.how, caught, f"{each.seconds:.1f}")
    return table


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what takes the copy away
    raise SystemExit(main())
