"""The files that pipelines start from: in the wheel the package's `template`, in a checkout the repository itself."""

from __future__ import annotations

from pathlib import Path

from streambg.errors import ConfigError


def shipped(name: str) -> Path:
    """`pipeline.yaml`, `docker-compose.yml`, `topics` or `consumers`. Raises ConfigError where they are not there."""
    package = Path(__file__).parents[1]
    for root in (package / "template", package.parent):
        if (root / name).exists():
            return root / name
    raise ConfigError(f"{package} comes without {name}", way_out="install streambg from its wheel, or run a checkout")
