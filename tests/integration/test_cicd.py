"""From the registry to live on the reference pipeline, by the scripts of examples/cicd (issue: validate, Shows 2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkout import Verb
from shuttle_live import Shuttle, published, shuttle
from waiting import until

from streambg.control import verbs
from streambg.control.state import ControlState, Phase
from streambg.control.verbs import Said

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def shop(kafka: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shuttle]:
    folder = tmp_path_factory.mktemp("cicd")
    learners = ("tree of both", "noisy tree", "tree swapped after the shift")
    with shuttle(folder, kafka, redis_url, f"cicd-{os.getpid()}", learners, rate=1_200) as running:
        published(running, 3_000)
        yield running


def state(shop: Shuttle) -> ControlState:
    with verbs.client(shop.pipeline) as control:
        return control.state()


def ended(verb: Verb, code: int, timeout: float = 120) -> Verb:
    assert verb.end(timeout) == code, "\n".join(verb.said)
    return verb


def test_one_whose_harm_shows_only_live_is_taken_back(shop: Shuttle) -> None:
    verb = shop.verb("ci", "deploy", shop.models[2], "--wait", "--output", "json")
    until(lambda: state(shop).phase is Phase.CANDIDATE, 30, "a candidate")
    shop.stream.turned = True
    done = ended(verb, 10)
    print(json.dumps(done.json(), indent=1), "\n".join(done.said))
    shop.stream.turned = False


def test_a_good_one(shop: Shuttle) -> None:
    verb = shop.verb("ci", "deploy", shop.models[1], "--wait", "--output", "junit")
    code = verb.end(60)
    print(verb._out, "\n".join(verb.said))
    assert code == 0
