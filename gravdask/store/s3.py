"""Objects in a bucket of an S3 service, through obstore (the extra ``s3``).

Endpoint, region and keys come from the environment (AWS_...); keys alternatively from the profile of the credential
file. A PUT is whole or not at all; creation and replacement are conditional on the server (If-None-Match, If-Match).
"""

from __future__ import annotations

import configparser
import contextlib
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from gravdask.errors import ConfigError, ExecutionError
from gravdask.secrets import masked
from gravdask.store.objects import Entry

_KEY_SERVICE = "169.254.169.254"
"""Where machines of Amazon's are told their keys: asked last, when none are found."""
RETRIES = 6
RETRY_SECONDS = 60
KEY_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_SKIP_SIGNATURE",
)
"""Where any of these is set the environment says how to sign; otherwise the credential file is looked at."""


def obstore_module() -> Any:  # noqa: ANN401 - an optional library
    """Give the library, which is optional.

    Raises
    ------
    ConfigError
        If it is not installed, naming the extra.
    """
    try:
        for part in ("exceptions", "store"):
            importlib.import_module(f"obstore.{part}")
        return importlib.import_module("obstore")
    except ImportError as error:
        msg = f"a store on S3 needs obstore ({error}); install it with: pip install 'gravdask[s3]'"
        raise ConfigError(msg) from error


@contextlib.contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the errors of obstore inside the block into words.

    Raises
    ------
    ConfigError
        If the keys are refused, the bucket does not exist, or the connection may not be unencrypted.
    ExecutionError
        If the service does not answer or fails.
    """
    errors = obstore_module().exceptions
    try:
        yield
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        msg = (
            f"{where}: the S3 service refuses these keys ({_short(error)}); set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a service of your own), or the credential file"
        )
        raise ConfigError(msg) from error
    except errors.BaseError as error:
        if "NoSuchBucket" in str(error):
            msg = f"{where}: there is no such bucket; make it first, or correct its name or AWS_ENDPOINT_URL"
            raise ConfigError(msg) from error
        if "builder error" in str(error) and "http://" in str(error):
            msg = (
                f"{where}: the S3 service is not encrypted (http://), which must be allowed: set AWS_ALLOW_HTTP=true "
                f"in the environment, or store.allow_http = true ({_short(error)})"
            )
            raise ConfigError(msg) from error
        if _KEY_SERVICE in str(error):
            msg = (
                f"{where}: no keys were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and the "
                f"credential file ({_short(error)})"
            )
            raise ConfigError(msg) from error
        msg = (
            f"{where}: the S3 service failed ({_short(error)}); check AWS_ENDPOINT_URL, AWS_REGION, the bucket's name "
            "and the network. What was finished is kept: run again to continue"
        )
        raise ExecutionError(msg) from error


def _short(error: BaseException) -> str:
    """First line of what obstore says, without keys; it appends its own inner structure after it."""
    keys = _file_keys()
    return masked(str(error).strip().split("\n")[0], *(keys.secrets() if keys is not None else ()))[:300]


@dataclass(frozen=True)
class FileKeys:
    """Keys from a profile of the credential file; read again in every process, so that they never travel.

    Attributes
    ----------
    file, profile
        Where they stand.
    """

    file: str
    profile: str

    def __call__(self) -> dict[str, Any]:
        """Keys as obstore wants them."""
        section = _profile(self.file, self.profile)
        token = section.get("aws_session_token")
        return {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
            "token": token or None,
            "expires_at": None,
        }

    def secrets(self) -> tuple[str, ...]:
        """Everything of the profile that must not be shown."""
        return tuple(value for name, value in _profile(self.file, self.profile).items() if name.startswith("aws_"))


def _profile(file: str, profile: str) -> dict[str, str]:
    """Section of a credential file; empty if it is not there or not of that form."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return {}
    return dict(parser[profile]) if parser.has_section(profile) else {}


def _file_keys() -> FileKeys | None:
    """Keys of the credential file, if the environment has none and the file does."""
    if any(os.environ.get(name) for name in KEY_VARIABLES):
        return None
    file = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or str(Path("~/.aws/credentials").expanduser())
    keys = FileKeys(file, os.environ.get("AWS_PROFILE", "default"))
    known = _profile(keys.file, keys.profile)
    return keys if {"aws_access_key_id", "aws_secret_access_key"} <= known.keys() else None


def _connect(bucket: str, options: tuple[tuple[str, str], ...], prefix: str) -> Any:  # noqa: ANN401
    """Client of a bucket, or of what lies below a prefix in it."""
    stated = dict(options)
    arguments: dict[str, Any] = {name: stated[name] for name in ("endpoint", "region") if name in stated}
    if "allow_http" in stated:
        arguments["client_options"] = {"allow_http": True}
    keys = _file_keys()
    if keys is not None:
        arguments["credential_provider"] = keys
    retry = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)}
    return obstore_module().store.S3Store(bucket, prefix=prefix or None, retry_config=retry, **arguments)


class S3Objects:
    """Objects of one bucket."""

    def __init__(self, bucket: str, options: tuple[tuple[str, str], ...]) -> None:
        self._bucket = bucket
        self._options = options
        self._obstore = obstore_module()
        self._store = _connect(bucket, options, "")

    def _where(self, path: str) -> str:
        """URL of an object."""
        return f"s3://{self._bucket}/{path}"

    def zarr_store(self, path: str, fast: bool) -> Any:  # noqa: ANN401
        """Zarr's store on obstore."""
        from zarr.storage import ObjectStore

        del fast
        return ObjectStore(_connect(self._bucket, self._options, path))

    def read(self, path: str) -> bytes:
        """Content of an object."""
        with translated(self._where(path)):
            return bytes(self._obstore.get(self._store, path).bytes())

    def write(self, path: str, content: bytes) -> None:
        """Put an object."""
        with translated(self._where(path)):
            self._obstore.put(self._store, path, content)

    def create(self, path: str, content: bytes) -> bool:
        """Put an object if there is none."""
        with translated(self._where(path)):
            try:
                self._obstore.put(self._store, path, content, mode="create")
            except self._obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def swap(self, path: str, content: bytes, tag: str) -> bool:
        """Replace an object that still has a tag."""
        with translated(self._where(path)):
            try:
                self._obstore.put(self._store, path, content, mode={"e_tag": tag})
            except (self._obstore.exceptions.PreconditionError, FileNotFoundError):
                return False
        return True

    def renew(self, path: str, content: bytes) -> None:
        """Put an object again if it is still there; its time is the server's."""
        now = self.stat(path)
        # The tag is the digest of the content, which does not change: the condition says "if it was not removed".
        if now is None or not self.swap(path, content, now.tag):
            raise FileNotFoundError(self._where(path))

    def stat(self, path: str) -> Entry | None:
        """Size, time and tag of an object."""
        with translated(self._where(path)):
            try:
                about = self._obstore.head(self._store, path)
            except FileNotFoundError:
                return None
        return _entry(path.rpartition("/")[2], about)

    def delete(self, path: str) -> None:
        """Remove an object that may be there."""
        with translated(self._where(path)), contextlib.suppress(FileNotFoundError):
            self._obstore.delete(self._store, path)

    def _listed(self, path: str) -> dict[str, Any]:
        """Objects and prefixes directly below a path."""
        with translated(self._where(path)):
            return dict(self._obstore.list_with_delimiter(self._store, path or None))

    def entries(self, path: str) -> list[Entry]:
        """Objects directly below a path."""
        # Some services keep an empty object in the name of a folder itself.
        found = (o for o in self._listed(path)["objects"] if o["path"].strip("/") != path)
        return [_entry(o["path"].rpartition("/")[2], o) for o in found]

    def folders(self, path: str) -> list[str]:
        """Prefixes directly below a path."""
        return [p.rstrip("/").rpartition("/")[2] for p in self._listed(path)["common_prefixes"]]

    def walk(self, path: str) -> Iterator[Entry]:
        """All objects below a path, a thousand a request."""
        head = f"{path}/" if path else ""
        with translated(self._where(path)):
            for batch in self._obstore.list(self._store, path or None):
                for about in batch:
                    if about["path"].strip("/") != path:
                        yield _entry(about["path"].removeprefix(head), about)

    def discard(self, path: str) -> None:
        """Remove everything below a path."""
        found = [f"{path}/{e.name}".strip("/") for e in self.walk(path)]
        with translated(self._where(path)):
            if found:
                self._obstore.delete(self._store, found)


def _entry(name: str, about: Any) -> Entry:  # noqa: ANN401
    """An object as a list shows it."""
    return Entry(name, int(about["size"]), about["last_modified"].timestamp(), str(about.get("e_tag") or ""))


@cache
def s3_objects(bucket: str, options: tuple[tuple[str, str], ...]) -> S3Objects:
    """Objects of a bucket; one connection for each process."""
    return S3Objects(bucket, options)
