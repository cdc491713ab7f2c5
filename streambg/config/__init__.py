"""pipeline.yaml: read, checked to the last key, and given to every process as one frozen value."""

from streambg.config.load import IGNORE_RECORDS, load
from streambg.config.names import Groups, Topics
from streambg.config.redaction import redact, redact_text
from streambg.config.sections import Contract, Input, Late, Pipeline, Transaction

__all__ = [
    "IGNORE_RECORDS",
    "Contract",
    "Groups",
    "Input",
    "Late",
    "Pipeline",
    "Topics",
    "Transaction",
    "load",
    "redact",
    "redact_text",
]
