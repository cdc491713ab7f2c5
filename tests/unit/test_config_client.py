"""kafka.client: security passes, what weakens the guarantee does not, and no secret is ever shown."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from pipeline_files import loaded, small

from streambg.config import redact, redact_text
from streambg.config.clientkeys import ALLOWED, REFUSED, refusal
from streambg.config.redaction import Settings, is_secret
from streambg.errors import ConfigError

SECRET = "hunter2"


def with_client(*lines: str) -> str:
    client = "".join(f"    {line}\n" for line in lines)
    return small().replace("redis:", f"  client:\n{client}redis:", 1)


def refused(directory: Path, text: str, env: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text, env)
    return caught.value


def test_security_settings_pass_verbatim(tmp_path: Path) -> None:
    text = with_client(
        "security.protocol: sasl_ssl",
        "sasl.mechanism: SCRAM-SHA-512",
        "sasl.username: app",
        "sasl.password: ${PASSWORD}",
        "socket.keepalive.enable: true",
        "broker.address.ttl: 5000",
    )
    assert dict(loaded(tmp_path, text, {"PASSWORD": SECRET}).kafka.client) == {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "app",
        "sasl.password": SECRET,
        "socket.keepalive.enable": "true",
        "broker.address.ttl": "5000",
    }


@pytest.mark.parametrize("key", sorted(REFUSED))
def test_what_weakens_the_guarantee_is_refused_with_the_reason(tmp_path: Path, key: str) -> None:
    said = str(refused(tmp_path, with_client(f"{key}: 1")))
    assert f"pipeline.yaml:5: kafka.client.{key}: refused: {REFUSED[key]}" in said


def test_R3_the_consumer_protocol_is_refused_with_the_reason(tmp_path: Path) -> None:
    said = str(refused(tmp_path, with_client("group.protocol: consumer")))
    assert "kafka.client.group.protocol: refused" in said
    assert "44 s" in said
    assert "stale generation may commit" in said


def test_a_misspelt_setting_is_found_when_the_file_is_read(tmp_path: Path) -> None:
    said = str(refused(tmp_path, with_client("sasl.mechansm: PLAIN")))
    assert "pipeline.yaml:5: kafka.client.sasl.mechansm: no client setting" in said
    assert "did you mean `sasl.mechanism`?" in said
    assert refusal("frobnicate") == (
        "no client setting that streambg passes on; only security, network and compression settings pass through"
    )
    assert "it names code" in (refusal("oauth_cb") or "")


@pytest.mark.parametrize("key", sorted(ALLOWED))
@pytest.mark.parametrize("make", [Consumer, Producer])
def test_librdkafka_knows_every_setting_that_passes(make: type[Consumer | Producer], key: str) -> None:
    """A value that none of them can have tells a wrong value from a wrong name."""
    assert "No such configuration property" not in complaint(make, key)


def test_librdkafka_says_so_when_it_does_not_know_a_setting() -> None:
    assert "No such configuration property" in complaint(Producer, "sasl.passwrd")


def complaint(make: type[Consumer | Producer], key: str) -> str:
    try:
        make({"group.id": "g", "log_level": 0, key: "\x01"})
    except KafkaException as error:
        return str(error)
    return ""


# -- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.config",
        "sasl.jaas.config",
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config",
        "ssl_key",
        "redis_password",
        "API_TOKEN",
    ],
)
def test_secrets_are_known_by_name(key: str) -> None:
    assert is_secret(key)
    assert redact({key: SECRET}) == {key: "***"}


@pytest.mark.parametrize(
    "key",
    ["sasl.username", "sasl.mechanism", "ssl.key.location", "ssl.ca.location", "sasl.oauthbearer.token.endpoint.url"],
)
def test_what_is_no_secret_stays_readable(key: str) -> None:
    assert redact({key: "plain"}) == {key: "plain"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{SECRET}@host:6379/0", "redis://:***@host:6379/0"),
        (f"rediss://app:{SECRET}@host", "rediss://app:***@host"),
        (f"redis://:a/b{SECRET}@x@host:6379/0", "redis://:***@host:6379/0"),
        (f"redis://host?password={SECRET}&db=1", "redis://host?password=***&db=1"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
    ],
)
def test_passwords_in_urls_are_masked(url: str, shown: str) -> None:
    assert redact_text(url) == shown


def test_redaction_goes_to_any_depth() -> None:
    nested = {"kafka": {"client": {"sasl.password": SECRET}, "urls": [f"redis://:{SECRET}@h"]}, "empty.password": ""}
    assert SECRET not in repr(redact(nested))
    assert redact(nested)["empty.password"] == ""


def test_no_secret_in_repr_dump_or_json(tmp_path: Path) -> None:
    text = with_client("sasl.password: ${PASSWORD}", "ssl.key.pem: ${PASSWORD}").replace(
        "redis://127.0.0.1:6379/0", "${REDIS}"
    )
    pipeline = loaded(tmp_path, text, {"PASSWORD": SECRET, "REDIS": f"redis://:{SECRET}@h:1/0"})
    assert pipeline.kafka.client["sasl.password"] == SECRET
    assert pipeline.redis == f"redis://:{SECRET}@h:1/0"
    for shown in (
        repr(pipeline),
        str(pipeline),
        f"{pipeline.kafka} {pipeline.kafka.client}",
        repr(pipeline.model_dump()),
        pipeline.model_dump_json(),
        pipeline.deciding_text(),
        repr(Settings({"sasl.password": SECRET})),
    ):
        assert SECRET not in shown


def test_no_secret_in_an_error_or_its_traceback(tmp_path: Path) -> None:
    text = with_client("sasl.password: ${PASSWORD}", "sasl.passwrd: ${PASSWORD}", "ssl.key.password: [1]")
    text = text.replace("redis://127.0.0.1:6379/0", "${PASSWORD}").replace("json", "jsn")
    error = refused(tmp_path, text, {"PASSWORD": SECRET})
    assert SECRET not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("value", [SECRET, f"${{PASSWORD:-{SECRET}}}", f"{SECRET}${{PASSWORD}}"])
def test_a_secret_must_not_stand_in_the_file(tmp_path: Path, value: str) -> None:
    said = str(refused(tmp_path, with_client(f"sasl.password: {value}"), {"PASSWORD": "x"}))
    assert "a secret must not stand in the file; write ${STREAMBG_SASL_PASSWORD}" in said
    assert SECRET not in said


def test_a_redis_password_must_not_stand_in_the_file(tmp_path: Path) -> None:
    text = small().replace("redis://", f"redis://:{SECRET}@")
    assert "pipeline.yaml:4: redis: a password must not stand in the file" in str(refused(tmp_path, text))
    ok = small().replace("redis://", "redis://:${PASSWORD}@")
    assert loaded(tmp_path, ok, {"PASSWORD": SECRET}).redis == f"redis://:{SECRET}@127.0.0.1:6379/0"


def test_a_public_certificate_may_stand_in_the_file(tmp_path: Path) -> None:
    assert loaded(tmp_path, with_client("ssl.ca.pem: CERT")).kafka.client["ssl.ca.pem"] == "CERT"
