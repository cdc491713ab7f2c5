"""Addresses of Kafka and Redis, checked as far as they can be without asking anybody. No password is shown. Pure."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qs, urlsplit

from streambg.config.redaction import MASK, redact_text

# A name, an IPv4 address, or an IPv6 address in brackets: without them nobody knows where the port begins.
_HOST = r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\s/:@\[\]]+)"
_HOST_AND_PORT = re.compile(rf"{_HOST}:([0-9]{{1,5}})")
_MAX_PORT = 65_535
# Redis has 16 unless told otherwise; more digits than these would be a slip in any configuration.
_DATABASE = re.compile(r"[0-9]{1,9}")
_ESCAPES = "in a password write %2F for /, %3F for ?, %23 for #, %40 for @"


def kafka_addresses(value: str) -> str:
    """`host:port`, several with commas. Raises ValueError with what is wrong."""
    if "://" in value:
        how = "how to connect is `security.protocol` in `kafka.client`"
        raise ValueError(f"{redact_text(value)!r} names a scheme; write host:port alone, {how}")
    for address in map(str.strip, value.split(",")):
        match = _HOST_AND_PORT.fullmatch(address)
        if match is None or not _is_port(match[1]):
            if "@" in address:  # not shown: before it is a password
                raise ValueError("a user and a password belong in `kafka.client`; write host:port alone")
            how = f"write host:port, port 1 to {_MAX_PORT}, IPv6 as [::1]:9092, several with commas"
            raise ValueError(f"{address!r} is no address; {how}")
    return value


def redis_address(value: str) -> str:
    """`redis://host:port/0`, `rediss://`, or `unix:///path?db=0`. Raises ValueError with what is wrong.

    The client takes a database that it does not understand for 0, and a port of 0 for 6379.
    """
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("is no Redis address; write redis://host:port/0")
    if re.search(r"\s", value):  # not shown: where a password ends is then a guess
        raise ValueError("has a blank in it; write %20")
    try:
        url = urlsplit(value)
    except ValueError:  # brackets that do not match
        wrong = "has no host that can be read; an IPv6 address stands in brackets: redis://[::1]:6379/0"
    else:
        wrong = _wrong(url)
    if wrong:
        escapes = f"; {_ESCAPES}" if "@" in value else ""
        raise ValueError(f"{_shown(value)!r} {wrong}{escapes}")
    return value


def _shown(value: str) -> str:
    """Masked first: a password may have a ? in it. What stands behind it may be one, too (`?ssl_password=`)."""
    masked = redact_text(value)
    if masked == value:  # an unescaped / or @ before the colon: what is user, what is password?
        masked = re.sub("://.*@", f"://{MASK}@", value)
    return masked.partition("?")[0]


def _wrong(url: SplitResult) -> str:
    where = url.netloc.rpartition("@")[2]
    given = parse_qs(url.query).get("db", [""])[0]
    if given and not _DATABASE.fullmatch(given):
        return "has a db= that is no number; write ?db=0"
    if url.scheme == "unix":
        return "" if url.path.strip("/") and not where else "has no path; write unix:///path/of/redis.sock"
    host, colon, port = where.rpartition(":") if not where.endswith("]") else (where, "", "")
    if not re.fullmatch(_HOST, host if colon else where):
        return "has no host; write redis://host:port/0"
    if colon and not _is_port(port):
        return f"has no port from 1 to {_MAX_PORT}; write redis://host:port/0"
    path = url.path.removeprefix("/").removesuffix("/")
    if path and not _DATABASE.fullmatch(path):
        return "ends in no database number; write redis://host:port/0"
    return ""


def _is_port(text: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", text) is not None and 1 <= int(text) <= _MAX_PORT
