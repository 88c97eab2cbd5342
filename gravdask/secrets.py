"""What must not be shown: credentials in addresses, keys in texts."""

from __future__ import annotations

import os
import re

_IN_ADDRESS = re.compile(
    r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s@:]*:(?!\d+(?:[/?#]|$))[^\s@]*@"  # a secret key may hold slashes
    r"|(?P<key>(?:https?|s3a?|gs|abfs)://)[^/\s@:]+@"
)
_IN_QUERY = re.compile(
    r"(?P<head>[?&](?:[\w-]*(?:signature|credential|secret|token|password|passwd|api_?key|access_?key)[\w-]*|sig|key)=)"
    r"[^&\s\"']{8,}",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?P<head>(?:(?i:aws_secret_access_key|aws_session_token)"
    r"|\b[A-Z0-9_]*(?:SECRET|PASSWORD|PASSWD|ACCESS_KEY|API_?KEY|_TOKEN)[A-Z0-9_]*)\s*=\s*)"
    r"(?!\s*[\"']?\$)[\"']?[^\s\"']+[\"']?"
)
_VARIABLES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY")
_SHORTEST = 8
"""Shorter values of variables may be words that a message is about."""
MASK = "***"


def holds_secret(text: str) -> bool:
    """Whether a text that is to be written down holds credentials: in an address, its query, or an assignment."""
    return any(pattern.search(text) for pattern in (_IN_ADDRESS, _IN_QUERY, _ASSIGNED))


def masked(text: str, *secrets: str) -> str:
    """Give a text without the credentials that it holds, nor those of the environment, nor further ones."""
    text = _IN_ADDRESS.sub(lambda found: f"{found['head'] or found['key']}{MASK}@", text)
    for pattern in (_IN_QUERY, _ASSIGNED):
        text = pattern.sub(rf"\g<head>{MASK}", text)
    known = [value for name, value in os.environ.items() if _VARIABLES.search(name)]
    for value in (*secrets, *known):
        if len(value) >= _SHORTEST and not value.startswith(("/", "http")):
            text = text.replace(value, MASK)
    return text


def refuse_secrets(value: object) -> None:
    """Refuse texts that hold credentials where they would be written down.

    Parameters
    ----------
    value
        A text, or a list of such; anything else is not looked at.

    Raises
    ------
    ValueError
        If one does; it is not repeated.
    """
    for text in value if isinstance(value, list | tuple) else [value]:
        if isinstance(text, str) and holds_secret(text):
            msg = (
                "it holds credentials, which would be written to the store and to logs; give them in the environment "
                "(such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or in the credential file"
            )
            raise ValueError(msg)
