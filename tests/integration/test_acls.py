"""`streambg topics acls` on a broker with an authorizer: the printed rights are enough, and a missing one is named."""

from __future__ import annotations

import json
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
from typer.testing import CliRunner, Result
from waiting import until

from streambg.cli.main import build
from streambg.errors import Denied
from streambg.topicplan.acls import ROLES

pytestmark = pytest.mark.integration

NAME = "vault"
KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
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
    admin: AdminClient

    def env(self, role: str) -> dict[str, str]:
        user = f"{NAME}-{role.replace('.', '-')}"
        return {"WHERE": self.secure.sasl, "PROTOCOL": "sasl_plaintext", "WHO": user, "WORD": PASSWORD}

    def cli(self, role: str, *words: str) -> Result:
        return CliRunner().invoke(build(()), [*words, "-p", str(self.run.pipeline.file)], env=self.env(role))

    def start(self, role: str, module: str, *options: str) -> Process:
        return self.run.start(module, *options, environment=self.env(role))

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
        made = Vault(run, secure, [], AdminClient({"bootstrap.servers": secure.plain}))
        printed = made.cli("operator", "topics", "acls", "--output", "json")
        assert printed.exit_code == 0, printed.output
        made.acls.extend(json.loads(printed.stdout))
        made.grant(made.acls)
        yield made


def test_the_printed_rights_are_enough(vault: Vault, redis_url: str) -> None:
    run = vault.run
    first = vault.cli("operator", "deploy", "blue", "m:1", "--start", "earliest")
    assert first.exit_code == 0, first.exception
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
        assert done.exit_code == 0, (words, done.exception)
    run.feed(60)
    run.drained()
    run.with_port(processes[-1])
    until(lambda: processes[-1].health()["ok"], 30, "the comparator is well")
    assert [process.popen.poll() for process in processes] == [None] * 4
    file = run.folder / "letters.jsonl"
    event = f"{run.pipeline.topics.input}/0@5"
    for words in (
        ["audit"],
        ["inspect", event],
        ["inspect", "--key", "k3"],
        ["dead-letters", "export", str(file)],
    ):
        done = vault.cli("audit", *words)
        assert done.exit_code == 0, (words, done.exception)
    assert len(file.read_text().splitlines()) == 1
    examined = vault.cli("doctor", "doctor", "--local", "--output", "json")
    assert examined.exit_code == 0, examined.output
    found = {each["check"]: each["verdict"] for each in json.loads(examined.stdout)["findings"]}
    assert (found["writers"], found["rights"]) == ("ok", "ok")
    assert set(found.values()) == {"ok", "local"}
    planned = vault.cli("topics", "topics", "plan", "--partitions", "3")
    assert planned.exit_code == 0, planned.exception
    run.expect_exactly_once()


def test_the_doctor_names_a_missing_right_and_whoever_else_may_write(vault: Vault) -> None:
    acl = vault.the("publisher", "Write", "-answers")
    foreign = {**acl, "principal": "User:mallory"}
    vault.revoke(acl)
    vault.grant([foreign])
    examined = vault.cli("doctor", "doctor", "--local", "--check", "writers", "--check", "rights")
    assert examined.exit_code == 1
    assert "User:mallory may write it" in examined.stdout
    assert f"User:{NAME}-publisher lacks Write on topic {NAME}-answers" in examined.stdout
    vault.revoke(foreign)
    vault.grant([acl])
    blind = vault.cli("scorer.blue", "doctor", "--local", "--check", "writers", "--check", "features")
    assert blind.exit_code == 1
    assert "Describe on the cluster" in blind.stdout, "the client answers with an empty list"
    assert "DESCRIBE_CONFIGS" in blind.stdout or "uthorization failed" in blind.stdout


def test_a_missing_right_is_named_and_ends_the_process(vault: Vault) -> None:
    """P21: no new session mends it, so the process ends with the code of `Denied`; nothing was settled meanwhile."""
    run = vault.run
    scorers, others = run.processes[:2], run.processes[2:]
    _end(others)
    run.feed(30)
    settled = run.settled()
    for name in ("-answers", ".publisher."):
        _ends_without(vault, vault.the("publisher", "Write", name), "publisher")
    _end(scorers)
    run.feed(30)
    _ends_without(vault, vault.the("scorer.blue", "Write", ".predictions.blue"), "scorer", "--color", "blue")
    assert run.settled() == settled
    refused = vault.cli("audit", "pause")
    assert isinstance(refused.exception, Denied)
    assert "streambg topics acls" in refused.exception.way_out


def _end(processes: list[Process]) -> None:
    for process in processes:
        process.popen.terminate()
    for process in processes:
        process.popen.wait(20)


def _ends_without(vault: Vault, acl: dict[str, str], module: str, *options: str) -> None:
    vault.revoke(acl)
    process = vault.start(acl["role"], module, *options)
    until(lambda: process.popen.poll() is not None, 30, f"{module} ends without {acl['operation']} {acl['name']}")
    said = process.log.read_text()
    assert process.popen.returncode == Denied.exit_code, said
    assert "streambg topics acls" in said
    vault.grant([acl])
