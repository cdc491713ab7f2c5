"""The rollout's controller: `python -m consumers.controller`. One is enough; more are harmless."""

from __future__ import annotations

from consumers.options import endpoint, parser, run
from streambg.config import Pipeline
from streambg.notifying.claims import sender
from streambg.rollout.controller import Controller


def main() -> None:
    options = parser(
        "Moves a rollout on, holds it or takes it back, as its plan and the verdict say; tells people.",
        "python -m consumers.controller",
        member=False,
    )
    chosen = options.parse_args()

    def controller(pipeline: Pipeline, _slot: int) -> int:
        return Controller(pipeline, sender(pipeline), endpoint(chosen)).run()

    run("controller", chosen, controller)


if __name__ == "__main__":
    main()
