"""The verbs in a line each, for `streambg --help` and for the first TAB: what is only listed is not imported.

The first paragraph of each verb's own help says the same (tests/unit/test_cli_main.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import typer

LINES: Mapping[str, str] = {
    "deploy": "Put a model into a color. The first goes live at once, later ones are candidates at weight 0.",
    "shift": "Publish the candidate's answers for a share of the keys.",
    "promote": "Make the candidate live; the old live color goes on scoring, ready for a rollback.",
    "rollback": "Go back to the deployment that was live before the last promote.",
    "abort": "Take a candidate back before it is promoted: weight 0, it goes on scoring.",
    "pause": "Refuse shift and promote until `resume`; publication goes on.",
    "resume": "Allow shift and promote again.",
    "retire": "Stop scoring with the deployment in a color that is neither live nor has weight.",
    "history": "The control log: every command, accepted or refused, and why.",
    "init": (
        "Write a new pipeline: pipeline.yaml, topics/, consumers/, an example model, a test, make and Docker files."
    ),
    "adopt": (
        "Take over from a running service: begin where its consumer group stands, as this pipeline's first deploy."
    ),
    "accept-gap": (
        "Give up events that nobody can answer any more: what is left of them becomes dead letters, and "
        "answering goes on."
    ),
    "status": "What the pipeline does now. With Redis down it says so, and takes the evidence from its topic.",
    "verdict": "Is the candidate good enough? Exit code 0: promote, 10: abort, 11: continue, 12: inconclusive.",
    "doctor": (
        "Check each assumption of the guarantee on this cluster: ok, or what breaks and the command that mends it."
    ),
    "inspect": "One event: the input record, what both colors said, what came out, and why.",
    "preview": (
        "How many published answers would have been others at this weight, by segment, and which decisions turn."
    ),
    "supersede": (
        "Publish a color's stored answers again for an exact range, beside what went out; recorded, each exactly once."
    ),
    "audit": "Prove, from the topics alone, that nothing was lost, doubled or answered wrongly.",
    "up": (
        "Run a pipeline on this machine: servers where none answer, topics, and all its processes. Ctrl-C ends it all."
    ),
    "watch-registry": (
        "Deploy each new version to the idle color and start the plan, one at a time, the newest first; until Ctrl-C."
    ),
    "demo": "Two colors score, one is published, the control log switches, a publisher is killed; then the audit.",
    "bench": "Measure streambg beside the raw client's loops: one broker, the same events, in one run.",
    "broker": "A Kafka broker and a Redis on this machine, for development.",
    "topics": "The topics of a pipeline: compare with the broker, create, grow.",
    "models": "The versions in the file registry.",
    "dead-letters": "Events that no color could answer: count, list, show, export.",
    "rollout": "Move a candidate from weight 0 to live by the plan in pipeline.yaml.",
    "plan": "Look at the rollout plan in pipeline.yaml.",
    "ci": "What a CI job runs: validate a model on history, deploy it, answer with an exit code.",
    "replay": "Score a range of the input again, off to the side, and compare with what production published for it.",
}


def lists(app: typer.Typer) -> None:
    """Let an app offer every verb; none of these is run: who names one gets the app of that verb."""
    for verb, line in LINES.items():
        app.command(verb, help=line)(_listed)


def _listed() -> None:
    raise AssertionError("a verb that was only listed is run")
