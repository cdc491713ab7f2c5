"""What no pipeline file can mean is refused where it is read: addresses, bombs, and bytes that are no text."""

from __future__ import annotations

from pathlib import Path

import pytest
from pipeline_files import loaded, small

from streambg.config.yamlnodes import MAX_DEPTH, MAX_NODES
from streambg.errors import ConfigError

SECRET = "hunter2"
REDIS = "redis://127.0.0.1:6379/0"


def refused(directory: Path, text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(directory, text, env)
    return caught.value.what.replace(f"{directory}/", "")


# -- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "redis://host",
        "redis://host:65535/",
        "redis://[::1]:6379/15",
        "redis://[::1]",
        "redis://host?db=3",
        f"redis://app:{SECRET}@host:1/0",
        f"rediss://:{SECRET}@host:1/0?ssl_cert_reqs=none",
        "unix:///run/redis.sock",
        f"unix://:{SECRET}@/run/redis.sock?db=2",
    ],
)
def test_a_redis_address_passes(tmp_path: Path, address: str) -> None:
    assert loaded(tmp_path, small().replace(REDIS, "${R}"), {"R": address}).redis == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("redis://127.0.0.1:99999/0", "'redis://127.0.0.1:99999/0' has no port from 1 to 65535"),
        ("redis://host:foo/0", "has no port from 1 to 65535"),
        ("redis://host:0/0", "has no port from 1 to 65535"),
        ("redis://host:\u00b2/0", "has no port from 1 to 65535"),
        ("rediss://host:/0", "has no port from 1 to 65535"),
        ("redis:///0", "has no host"),
        ("redis://::1:6379/0", "has no host"),
        ("redis://[::1", "has no host that can be read"),
        ("redis://x:6379/foo", "'redis://x:6379/foo' ends in no database number"),
        ("redis://x:6379/-1", "ends in no database number"),
        ("redis://x:6379/1/2", "ends in no database number"),
        ("redis://x:6379?db=one", "has a db= that is no number"),
        ("unix://", "has no path; write unix:///path"),
        ("unix://run/redis.sock", "has no path; write unix:///path"),
        ("unix:///run/redis.sock?db=one", "has a db= that is no number"),
        ("http://x", "is no Redis address"),
        ("redis://x :1", "has a blank in it"),
        (f"redis://:{SECRET}@host:99999/0", "'redis://:***@host:99999/0' has no port"),
        (f"redis://:a/{SECRET}@host:1/0", "'redis://:***@host:1/0' has no host"),
        (f"redis://:a#{SECRET}@host:1/0", "in a password write %2F for /"),
        (f"redis://a/b:{SECRET}@host:1/x", "'redis://***@host:1/x' ends in no database number"),
        (f"redis://:a {SECRET}@host:1/0", "has a blank in it"),
        (f"redis://host:1/x?ssl_password={SECRET}", "'redis://host:1/x' ends in no database number"),
    ],
)
def test_what_is_no_redis_address_is_refused_without_its_password(tmp_path: Path, address: str, said: str) -> None:
    answer = refused(tmp_path, small().replace(REDIS, "${STREAMBG_REDIS}"), {"STREAMBG_REDIS": address})
    assert answer.startswith("pipeline.yaml:4: redis: ")
    assert said in answer
    assert answer.endswith(" (from ${STREAMBG_REDIS})")
    assert SECRET not in answer


@pytest.mark.parametrize("address", ["host:65535", "a_b.c:1, [::1]:9092"])
def test_an_address_of_kafka_passes(tmp_path: Path, address: str) -> None:
    assert loaded(tmp_path, small(bootstrap="${B}"), {"B": address}).kafka.bootstrap == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("kafka://127.0.0.1:59092", "'kafka://127.0.0.1:59092' names a scheme; write host:port alone"),
        (f"SASL_SSL://me:{SECRET}@host:1", "'SASL_SSL://me:***@host:1' names a scheme"),
        (f"me:{SECRET}@host:1", "a user and a password belong in `kafka.client`"),
        ("h:\u00b2", "'h:\u00b2' is no address; write host:port, port 1 to 65535"),
        ("h:0", "'h:0' is no address"),
        ("h:65536", "'h:65536' is no address"),
        ("h:1,,h:2", "'' is no address"),
        ("::1:9092", "IPv6 as [::1]:9092"),
        ("a/b:1", "'a/b:1' is no address"),
    ],
)
def test_what_is_no_address_of_kafka_is_refused(tmp_path: Path, address: str, said: str) -> None:
    answer = refused(tmp_path, small(bootstrap="${STREAMBG_BOOTSTRAP}"), {"STREAMBG_BOOTSTRAP": address})
    assert said in answer
    assert answer.endswith(" (from ${STREAMBG_BOOTSTRAP})")
    assert SECRET not in answer


def test_a_variable_that_its_default_stands_in_for_is_not_named(tmp_path: Path) -> None:
    text = small() + "publish: {slots: '${SLOTS:-17}'}\n"
    assert refused(tmp_path, text, {"SLOTS": ""}) == "pipeline.yaml:13: publish.slots: 17 is above 16"
    assert refused(tmp_path, text, {"SLOTS": "0"}).endswith("0 is below the least, 1 (from ${SLOTS})")


# -- no text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "what"),
    [("\udcff:1", "bytes that are no UTF-8"), ("h\x01:1", "a control character"), ("h:1\x85", "a control character")],
)
def test_what_the_environment_holds_is_text(tmp_path: Path, value: str, what: str) -> None:
    answer = refused(tmp_path, small(bootstrap="${STREAMBG_BOOTSTRAP:-h:1}"), {"STREAMBG_BOOTSTRAP": value})
    assert answer.startswith(f"pipeline.yaml:3: kafka.bootstrap: `${{STREAMBG_BOOTSTRAP}}` holds {what}")
    assert answer.isprintable()


def test_what_the_file_escapes_is_text(tmp_path: Path) -> None:
    said = "pipeline.yaml:3: kafka.bootstrap: holds a control character"
    assert refused(tmp_path, small(bootstrap='"h\\0:1"')).startswith(said)
    assert refused(tmp_path, small() + '"a\\ud800": 1\n') == "pipeline.yaml:13: ?: a key holds bytes that are no UTF-8"


def test_lines_and_tabs_are_text(tmp_path: Path) -> None:
    text = small().replace("redis:", "  client: {ssl.key.pem: '${KEY}'}\nredis:", 1)
    assert loaded(tmp_path, text, {"KEY": "a\r\n\tb"}).kafka.client["ssl.key.pem"] == "a\r\n\tb"


# -- bombs ----------------------------------------------------------------------------------------------------------


def aliases(levels: int, width: int) -> str:
    """Each level is a list of `width` aliases of the level below it."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("x: " + "[" * 5_000, f"pipeline.yaml:13: nested more than {MAX_DEPTH} levels deep"),
        ("x: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, f"pipeline.yaml:13: nested more than {MAX_DEPTH} levels deep"),
        (aliases(40, 1), "pipeline.yaml:43: nested more than"),
        # lists of 2, 10 ... 66,430 keys and values
        (aliases(9, 9), f"pipeline.yaml:18: more than {MAX_NODES:,} keys and values, an alias (*) counted as what"),
        ("x: &x [*x]\n", "pipeline.yaml:13: an alias stands inside what it stands for"),
        ("x: &x {a: {<<: *x}}\n", "pipeline.yaml:13: an alias stands inside what it stands for"),
    ],
)
def test_what_a_file_expands_to_is_bounded(tmp_path: Path, more: str, said: str) -> None:
    assert refused(tmp_path, small() + more).startswith(said)


def test_a_few_aliases_and_levels_are_plain_yaml(tmp_path: Path) -> None:
    deep = f"pipeline.yaml:13: x: no such key; the keys here are {', '.join(('pipeline', 'kafka', 'redis'))}"
    assert refused(tmp_path, small() + f"x: {'[' * (MAX_DEPTH - 2)}a{']' * (MAX_DEPTH - 2)}\n").startswith(deep)
    merged = small().replace("features: {f1: number}", "features: &f {f1: number}")
    text = merged.replace("decision:", "outputs_of: *f\n  decision:")
    assert "outputs_of: no such key" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("2026-13-45", "pipeline.yaml:13: a value looks like a date or a number and cannot be read as one"),
        ("1" * 5_000, "pipeline.yaml:13: a value looks like a date or a number and cannot be read as one"),
        ("0x" + "f" * 5_000, "pipeline.yaml:13: x: is a number of 20000 bits, the limit is 63"),
        ("2026-01-01", "pipeline.yaml:13: x: 2026-01-01 was read as a date; put it in quotes"),
        ("!!binary aGk=", "pipeline.yaml:13: x: was read as bytes; put it in quotes"),
        ("!!set {a}", "pipeline.yaml:13: x: was read as neither text nor a number; put it in quotes"),
    ],
)
def test_what_no_key_can_have_is_named_with_its_line(tmp_path: Path, value: str, said: str) -> None:
    assert refused(tmp_path, small() + f"x: {value}\n") == said
