"""A scorer: `python -m consumers.scorer --color blue`. Start as many as a color needs, each with its own --slot."""

from __future__ import annotations

from consumers.options import endpoint, parser, run
from streambg.config import Pipeline
from streambg.process import sites
from streambg.scoring.process import Scorer


def main() -> None:
    options = parser(
        "Scores every event of the input with the model that is deployed in one color.",
        "python -m consumers.scorer --color blue",
    )
    options.add_argument("--color", choices=["blue", "green"], required=True)
    chosen = options.parse_args()

    def scorer(pipeline: Pipeline, slot: int) -> int:
        site = sites.scorer(pipeline, chosen.color, slot)
        follower = sites.follower(pipeline, f"scorer.{chosen.color}.{slot}")
        return Scorer(site, follower, pipeline.registry, pipeline.input.carry, endpoint(chosen)).run()

    run("scorer.blue" if chosen.color == "blue" else "scorer.green", chosen, scorer)


if __name__ == "__main__":
    main()
