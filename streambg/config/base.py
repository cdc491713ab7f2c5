"""What every section of a pipeline file is, and the names in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

TopicName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
Name = Annotated[str, Field(pattern=r"^.{1,200}$")]


class Section(BaseModel):
    # built when a file is read: only the whole file's validator is, not each section's own beside it (a tenth of the
    # processor's time that importing the configuration took)
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False, defer_build=True
    )
