"""A publisher: `python -m consumers.publisher --slot 0`. Each member of the group has its own slot."""

from __future__ import annotations

from consumers.options import endpoint, parser, run
from streambg.config import Pipeline
from streambg.process import sites
from streambg.publishing.process import Publisher


def main() -> None:
    options = parser(
        "Publishes, exactly once, the answers of the color that the control log names.",
        "python -m consumers.publisher --slot 0",
    )
    chosen = options.parse_args()

    def publisher(pipeline: Pipeline, slot: int) -> int:
        site = sites.publisher(pipeline, slot)
        follower = sites.follower(pipeline, f"publisher.{slot}")
        return Publisher(site, follower, endpoint(chosen)).run()

    run("publisher", chosen, publisher)


if __name__ == "__main__":
    main()
