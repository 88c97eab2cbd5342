"""TLS files, looked at before anything is started with them: each can be read, they fit, and nothing has expired."""

from __future__ import annotations

import ssl
from pathlib import Path

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError

KEYS = ("tls_ca", "tls_cert", "tls_key")
_MARKS = {"tls_ca": "CERTIFICATE", "tls_cert": "CERTIFICATE", "tls_key": "PRIVATE KEY"}


def check_certificates(settings: ClusterConfig) -> None:
    """Refuse files with which no connection would come about.

    Raises
    ------
    ExecutionError
        If one cannot be read, is no PEM of its kind, needs a password, does not belong to the others, or has expired:
        names it.
    """
    for key in KEYS:
        _read(key, Path(getattr(settings, key)))
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)]
    for context in contexts:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(settings.tls_ca)
        except ssl.SSLError as error:
            raise ExecutionError(_said("tls_ca", settings.tls_ca, f"is damaged ({_reason(error)})")) from error
        _load(context, settings)
    try:
        _shake_hands(*contexts)
    except ssl.SSLError as error:
        what = getattr(error, "verify_message", "") or _reason(error)
        where = f"is not what {settings.tls_ca} vouches for ({what})"
        raise ExecutionError(_said("tls_cert", settings.tls_cert, where)) from error


def _read(key: str, path: Path) -> None:
    """Refuse a file that cannot be read, or is of another kind."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        why = f"cannot be read ({error.strerror}); every machine that takes part needs it"
        raise ExecutionError(_said(key, str(path), why)) from error
    if f"{_MARKS[key]}-----" not in text:
        raise ExecutionError(_said(key, str(path), f"is no PEM file with a {_MARKS[key].lower()}"))


def _load(context: ssl.SSLContext, settings: ClusterConfig) -> None:
    """Load certificate and key, without ever asking for a password."""

    def no_password() -> str:
        raise ExecutionError(
            _said("tls_key", settings.tls_key, "needs a password, which no worker can be asked for; use one without")
        )

    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, no_password)
    except ssl.SSLError as error:
        why = f"does not belong to {settings.tls_cert}, or one of them is damaged ({_reason(error)})"
        raise ExecutionError(_said("tls_key", settings.tls_key, why)) from error


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Connect two ends that both have the certificate and both ask for it, without a network."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def _reason(error: ssl.SSLError) -> str:
    """What OpenSSL says, in lower case and without its own line numbers."""
    return (error.reason or str(error)).replace("_", " ").lower()


def _said(key: str, path: str, what: str) -> str:
    """A fault of a file, in words."""
    return f"cluster.{key}: {path} {what}"


def no_answer(settings: ClusterConfig, error: BaseException) -> str:
    """Why a scheduler that is there does not talk to this client, in words where TLS is the reason."""
    text = str(error)
    if "ssl_context" in text:
        return "it speaks TLS only, and nothing is stated for it: cluster.tls_ca, tls_cert and tls_key"
    if isinstance(error, ssl.SSLError) or "SSL" in text or "certificate" in text.lower():
        return f"TLS: it and this client do not accept each other's certificates, look at cluster.tls_ca: {text}"
    if settings.tls_ca and "encryption" in text.lower():
        return "it speaks no TLS, and cluster.tls_ca asks for it"
    return text
