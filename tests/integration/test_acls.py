"""`streambg topics acls` on a broker with an authorizer: the printed rights are enough, and a missing one is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined] # exported, but not by the package's own stubs
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pipelines import Process, Running, pipeline
from secure_broker import PASSWORD, Secure, secure_broker
from waiting import until

from streambg.errors import Denied
from streambg.topicplan.acls import ROLES

pytestmark = pytest.mark.integration

NAME = "vault"
DENIED = Denied.exit_code
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "Create": AclOperation.CREATE,
    "Alter": AclOperation.ALTER,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}


@dataclass
class Vault:
    """A pipeline on a broker where each role logs in as itself."""

    run: Running
    secure: Secure
    acls: list[dict[str, str]]

    def env(self, role: str) -> dict[str, str]:
        user = f"{NAME}-{role.replace('.', '-')}"
        return {"WHERE": self.secure.sasl, "PROTOCOL": "sasl_plaintext", "WHO": user, "WORD": PASSWORD}

    def cli(self, role: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streambg", *words]
        env = {**os.environ, **self.env(role), "COLUMNS": "200"}
        return subprocess.run(
            command, cwd=self.run.folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    def start(self, role: str, module: str, *options: str) -> Process:
        return self.run.start(module, *options, env=self.env(role))

    @property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.secure.plain})

    def grant(self, acls: list[dict[str, str]]) -> None:
        for future in self.admin.create_acls(
            [AclBinding(*_columns(acl), AclPermissionType.ALLOW) for acl in acls]
        ).values():
            future.result(20)

    def revoke(self, acl: dict[str, str]) -> None:
        [future] = self.admin.delete_acls([AclBindingFilter(*_columns(acl), AclPermissionType.ALLOW)]).values()
        assert len(future.result(20)) == 1

    def the(self, role: str, operation: str, name: str) -> dict[str, str]:
        """The one right of a role on what ends so."""
        [acl] = [
            acl
            for acl in self.acls
            if (acl["role"], acl["operation"]) == (role, operation) and acl["name"].endswith(name)
        ]
        return acl


def _columns(acl: dict[str, str]) -> tuple[Any, ...]:
    pattern = ResourcePatternType.PREFIXED if acl["pattern"] == "prefixed" else ResourcePatternType.LITERAL
    return (KINDS[acl["kind"]], acl["name"], pattern, acl["principal"], "*", OPERATIONS[acl["operation"]])


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """Every role has exactly the rights that `topics acls` prints."""
    folder = tmp_path_factory.mktemp("vault")
    with (
        secure_broker(f"{NAME}-{role.replace('.', '-')}" for role in ROLES) as secure,
        pipeline(folder, secure.plain, NAME) as run,
    ):
        text = run.pipeline.file.read_text()
        client = (
            "client: {security.protocol: '${PROTOCOL}', sasl.mechanism: PLAIN, sasl.username: '${WHO}', "
            "sasl.password: '${WORD}'}"
        )
        run.pipeline.file.write_text(text.replace(f'bootstrap: "{secure.plain}"', f'bootstrap: "${{WHERE}}", {client}'))
        made = Vault(run, secure, [])
        printed = made.cli("operator", "topics", "acls", "--output", "json")
        assert printed.returncode == 0, printed.stderr
        made.acls.extend(json.loads(printed.stdout))
        made.grant(made.acls)
        yield made


def test_the_printed_rights_are_enough(vault: Vault, redis_url: str) -> None:
    run = vault.run
    first = vault.cli("operator", "deploy", "blue", "m:1", "--start", "earliest")
    assert first.returncode == 0, first.stderr
    processes = [
        vault.start("scorer.blue", "scorer", "--color", "blue"),
        vault.start("scorer.green", "scorer", "--color", "green"),
        vault.start("publisher", "publisher"),
        vault.start("comparator", "comparator"),
    ]
    run.feed(60)
    run.put(b"no event", b"k1", 0)
    run.flush()
    run.drained()
    for words in (["deploy", "green", "m:2"], ["shift", "50%"], ["status"], ["history"]):
        done = vault.cli("operator", *words)
        assert done.returncode == 0, (words, done.stderr)
    run.feed(60)
    run.drained()
    run.with_port(processes[-1])
    until(lambda: processes[-1].health()["ok"], 30, "the comparator is well")
    assert [process.popen.poll() for process in processes] == [None] * 4
    event = f"{run.pipeline.topics.input}/0@5"
    for words in (
        ["audit"],
        ["inspect", event],
        ["inspect", "--key", "k3"],
        ["dead-letters", "export", "letters.jsonl"],
    ):
        done = vault.cli("audit", *words)
        assert done.returncode == 0, (words, done.stderr)
    assert len((run.folder / "letters.jsonl").read_text().splitlines()) == 1
    planned = vault.cli("topics", "topics", "plan", "--partitions", "3")
    assert planned.returncode == 0, planned.stderr
    run.expect_exactly_once()


def test_a_missing_right_is_named_and_ends_the_process(vault: Vault) -> None:
    """P21: no new session mends it, so the process ends with the code of `Denied`."""
    run = vault.run
    for process in run.processes:
        process.popen.terminate()
        process.popen.wait(20)
    settled = run.settled()
    missing = {
        ("publisher", "Write", "-answers"): ("publisher",),
        ("publisher", "Write", ".publisher."): ("publisher",),
        ("scorer.blue", "Write", ".predictions.blue"): ("scorer", "--color", "blue"),
    }
    for (role, operation, name), words in missing.items():
        acl = next(
            a for a in vault.acls if (a["role"], a["operation"]) == (role, operation) and a["name"].endswith(name)
        )
        vault.revoke(acl)
        process = vault.start(role, *words)
        run.feed(30)
        until(lambda process=process: process.popen.poll() is not None, 30, f"{role} ends without {name}")  # type: ignore[misc] # bound now
        said = process.log.read_text()
        assert process.popen.returncode == DENIED, said
        assert "streambg topics acls" in said
        vault.grant([acl])
    assert run.settled() == settled
    done = vault.cli("topics", "deploy", "green", "m:1")
    assert done.returncode == DENIED, done.stderr
    assert "streambg topics acls" in done.stderr
