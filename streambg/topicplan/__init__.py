"""The topics of a pipeline: declared in topics/*.yaml, compared with the broker, created and grown, never shrunk."""

from streambg.topicplan.broker import apply, check, connect, ensure, plan, refuse_wrong_input
from streambg.topicplan.declared import Declared, Part, Role, load_topics
from streambg.topicplan.plan import Action, Found, diff

__all__ = [
    "Action",
    "Declared",
    "Found",
    "Part",
    "Role",
    "apply",
    "check",
    "connect",
    "diff",
    "ensure",
    "load_topics",
    "plan",
    "refuse_wrong_input",
]
