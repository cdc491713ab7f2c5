"""Whom to tell: a webhook, a command, or both."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from streambg.config.base import Section


def _address(value: SecretStr) -> SecretStr:
    if value.get_secret_value() and not value.get_secret_value().startswith(("http://", "https://")):
        raise ValueError("is no address; write https://host/path")
    return value


class Notify(Section):
    """`webhook` is masked wherever it is shown: chat services put their password into the address."""

    webhook: Annotated[SecretStr | None, AfterValidator(lambda value: value and _address(value))] = None
    secret: SecretStr | None = None
    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    severity: Literal["info", "warning", "critical"] = "info"

    @model_validator(mode="after")
    def _secret_signs_something(self) -> Notify:
        if self.secret is not None and self.secret.get_secret_value() and self.webhook is None:
            raise ValueError("`secret` signs what a `webhook` gets, and there is none")
        return self
