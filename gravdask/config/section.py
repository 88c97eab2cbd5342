"""What every section of the configuration has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from gravdask.secrets import refuse_secrets


class Section(BaseModel):
    """A section of the file: immutable, and a key that does not exist is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _holds_no_secret(cls, value: Any) -> Any:  # noqa: ANN401
        """Refuse credentials: a configuration is written to the store, to files and to logs."""
        refuse_secrets(value)
        return value
