"""Keys come from the environment or the credential file, and are written nowhere: store, report, logs, words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gravdask.cli import _code
from gravdask.config import build_config, render
from gravdask.errors import ConfigError
from gravdask.execution.jobs import job_script
from gravdask.secrets import MASK, holds_secret, masked
from gravdask.simulate import simulate_network
from gravdask.simulate.network import SimulatedNetwork
from gravdask.store import s3 as service
from gravdask.store.place import Place

KEY, SECRET = "AKIAGRAVDASKTESTS0", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

# ----------------------------------------------------------------------------------------------------- what is a secret

HOLDING = [
    f"s3://{KEY}:{SECRET}@bucket/prefix",
    "s3://KEY:SEC/RET@bucket",
    "s3://KEY@bucket/x",
    "https://user:pass@host/archive",
    "https://ghp_token@host/archive",
    "ftp://user:pass@host:21/x",
    "sftp://user:pa:ss@host/x",
    "https://bucket.s3.amazonaws.com/x?X-Amz-Credential=AKIAXXXX%2F2024&X-Amz-Signature=0123456789abcdef",
    "https://account.blob.core.windows.net/x?sv=2020&sig=abcdef0123456789",
    f"export AWS_SECRET_ACCESS_KEY={SECRET}",
    f"AWS_SECRET_ACCESS_KEY = '{SECRET}'",
    f"aws_secret_access_key={SECRET}",
    "export DB_PASSWORD=hunter2hunter2",
]
HARMLESS = [
    "s3://bucket/prefix/a:b@c",
    "https://host:8080/path@version",
    "https://host:8080",
    "sftp://user@host/archive",
    "/data/archive/a@b:c",
    "file:///data/x",
    "export AWS_SECRET_ACCESS_KEY=$(cat ~/.secret)",
    'export AWS_SECRET_ACCESS_KEY="$SECRET"',
    "source ~/.aws/env.sh",
    "^(?P<station>[A-Z]+)_key=",
    "https://service.iris.edu/fdsnws/event/1/query?format=xml&minmag=6",
    "--export=ALL",
]


@pytest.mark.parametrize("text", HOLDING)
def test_what_holds_a_secret_is_found_and_masked(text: str) -> None:
    assert holds_secret(text)
    shown = masked(f"cannot read {text}, try again")
    assert MASK in shown
    assert not re.search(r"SEC/RET|pass|pa:ss|ghp_|0123456789|hunter2|EXAMPLEKEY|KEY@", shown)
    assert shown.startswith("cannot read ")
    assert not holds_secret(shown.replace(MASK, "")) or "=" in shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_holds_none_is_left_alone(text: str) -> None:
    assert not holds_secret(text)
    assert masked(text) == text


def test_values_of_the_environment_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("MY_TOKEN", "short")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    assert masked(f"<Key>{SECRET}</Key> short /var/run/token") == f"<Key>{MASK}</Key> short /var/run/token"


# ----------------------------------------------------------------------------------------------- none in configurations

KEYS = [
    ("archive", "paths", lambda text: [text]),
    ("archive", "stations", lambda text: text),
    ("archive", "stations", lambda text: ["a.xml", text]),
    ("archive", "log", lambda text: text),
    ("store", "path", lambda text: text),
    ("store", "endpoint", lambda text: text),
    ("interpret", "catalog", lambda text: text),
    ("cluster", "address", lambda text: text),
    ("cluster", "prologue", lambda text: ["module load python", text]),
    ("cluster", "directives", lambda text: [text]),
]


@pytest.mark.parametrize(("section", "key", "form"), KEYS)
def test_a_configuration_with_a_secret_is_refused_and_does_not_repeat_it(
    section: str, key: str, form: Callable[[str], Any]
) -> None:
    for text in (f"s3://{KEY}:{SECRET}@bucket/x", f"export AWS_SECRET_ACCESS_KEY={SECRET}"):
        with pytest.raises(ConfigError, match="holds credentials") as caught:
            build_config({section: {key: form(text)}})
        said = f"{caught.value}{caught.value.__cause__}"
        assert SECRET not in said
        assert f"{section}.{key}" in said
        assert "AWS_ACCESS_KEY_ID" in said


def test_other_faults_do_not_repeat_a_secret_either() -> None:
    for values in ({"archive": {"digests": f"https://u:{SECRET}@h"}}, {"store": {"path": [f"s3://a:{SECRET}@b"]}}):
        with pytest.raises(ConfigError) as caught:
            build_config(values)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("command", ["run", "scan", "plan", "init", "status", "preflight"])
@pytest.mark.parametrize("url", [f"s3://{KEY}:{SECRET}@bucket/x", f"https://user:{SECRET}@host/x"])
def test_every_command_refuses_keys_in_an_address(
    command: str, url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["-o", url] if command == "status" else [url, "-o", str(tmp_path / "x.zarr")]
    assert _code([command, *given]) in {2, 5}
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert "Traceback" not in said.err
    assert [p.name for p in tmp_path.rglob("*") if SECRET.encode() in (p.read_bytes() if p.is_file() else b"")] == []


def test_a_place_with_keys_is_refused_whatever_they_look_like() -> None:
    for text in (f"s3://{KEY}:{SECRET}@bucket/x", f"https://u:{SECRET}@host/x", f"gs://{KEY}:{SECRET}@bucket"):
        with pytest.raises(ConfigError) as caught:
            Place.of(text)
        assert SECRET not in str(caught.value)


# --------------------------------------------------------------------------------------------------- errors of services


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_SECRET_ACCESS_KEY": SECRET},
        {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET},
        {"AWS_SESSION_TOKEN": SECRET},
        {"AWS_ENDPOINT_URL": f"http://user:{SECRET.replace('/', '')}@127.0.0.1:1"},
    ],
)
def test_errors_of_a_service_do_not_repeat_keys(
    s3: str, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    import fsspec

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(service, "RETRIES", 0)
    fsspec.filesystem("s3").clear_instance_cache()
    service.s3_objects.cache_clear()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    told = ""
    for command in (["status", "-o", f"{s3}/x.zarr"], ["scan", f"{s3}/archive", "--serial"]):
        assert _code(command) in {2, 3}
        said = capsys.readouterr()
        told += said.out + said.err
    fsspec.filesystem("s3").clear_instance_cache()
    service.s3_objects.cache_clear()
    assert "Traceback" not in told
    assert "s3://test-" in told
    for value in (SECRET, SECRET.replace("/", ""), os.environ["AWS_SECRET_ACCESS_KEY"]):
        assert value not in told


def test_keys_of_the_credential_file_are_masked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in service.KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "credentials").write_text(
        f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\naws_session_token = tok{SECRET}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    said = service._short(RuntimeError(f"403: <AWSAccessKeyId>{KEY}</AWSAccessKeyId> signed with {SECRET}\nmore"))
    assert said == f"403: <AWSAccessKeyId>{MASK}</AWSAccessKeyId> signed with {MASK}"


# -------------------------------------------------------------------------------------------------------- the whole job


@dataclass(frozen=True)
class Traces:
    """Everything that was written, and by what name."""

    texts: dict[str, bytes]

    def holding(self, *secrets: bytes) -> list[str]:
        return sorted(name for name, text in self.texts.items() if any(secret in text for secret in secrets))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNetwork:
    return simulate_network(tmp_path_factory.mktemp("sim"), stations=1, days=3, rate=1.0, seed=0)


def options(network: SimulatedNetwork) -> list[str]:
    given = ["--stations", network.station_xml, "--catalog", network.catalogue, "--set", "fit.min_days=1"]
    return [str(a) for a in (*given, "--set", "scattering.frame_samples=1024")]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    cert, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    order = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", "/CN=x"]
    try:
        subprocess.run([str(word) for word in order], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return cert, key


def contents(where: Path | str) -> dict[str, bytes]:
    place = Place.of(where)
    found = (e.name for e in place.walk() if e.size and not e.name.startswith(("ledger/", "runs/")))
    return {name: (place / name).read() for name in found}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_job_on_a_service_leaves_no_key_anywhere(
    network: SimulatedNetwork, s3: str, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    """Archive and store on S3, worker processes, TLS: the results are those of one process, and no secret is kept."""
    import fsspec

    cert, key = certificate
    here = tmp_path / "here"
    here.mkdir()
    system = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False)
    system.put(f"{network.archive}/", f"{s3.removeprefix('s3://')}/archive/", recursive=True)
    archive, store = f"{s3}/archive", f"{s3}/below/x.zarr"
    texts: dict[str, bytes] = {}

    def run(*words: str, code: int = 0) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "gravdask", *words], capture_output=True, cwd=here, timeout=300, check=False
        )
        texts[f"said by {words[0]} {len(texts)}"] = done.stdout + done.stderr
        assert done.returncode == code, (done.stdout + done.stderr).decode()
        return done.stdout

    keys = {"tls_ca": cert, "tls_cert": cert, "tls_key": key, "scratch": tmp_path / "scratch", "logs": here / "logs"}
    cluster = [word for name, path in keys.items() for word in ("--set", f'cluster.{name}="{path}"')]
    run("init", archive, "-o", store)
    found = run("preflight", archive, "-o", store, "--json", "--workers", "1", *options(network), *cluster)
    assert json.loads(found)["failed"] == 0
    board = str(tmp_path / "performance.html")
    run("run", archive, "-o", store, "--workers", "2", *options(network), *cluster, "--performance-report", board)
    assert b"2 workers" in texts["said by run 2"]
    run("status", "-o", store)
    wrong = {"AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"][::-1]}
    done = subprocess.run(
        [sys.executable, "-m", "gravdask", "run", archive, "-o", store, "--serial"],
        capture_output=True, cwd=here, timeout=300, check=False, env={**os.environ, **wrong},
    )  # fmt: skip
    texts["refused"] = done.stdout + done.stderr
    assert done.returncode == 2

    one, quick = tmp_path / "one.zarr", ("--stages", "convert,noise,calibrate,scatter,fit,classify,interpret")
    assert _code(["run", str(network.archive), "-o", str(one), "--serial", *options(network), *quick]) == 0
    assert contents(store) == contents(one)
    assert len(contents(store)) > 20

    place = Place.of(store)
    kept = {f"store {e.name}": (place / e.name).read() for e in place.walk()}
    assert any(name.startswith("store runs/") for name in kept)
    assert any(name.startswith("store ledger/") for name in kept)
    files = {str(p): p.read_bytes() for root in (here, tmp_path / "scratch") for p in root.rglob("*") if p.is_file()}
    assert {"gravdask.toml", "report.html"} <= {Path(name).name for name in files}
    files[board] = Path(board).read_bytes()
    script = job_script(build_config({"cluster": {"kind": "slurm", **{k: str(v) for k, v in keys.items()}}}).cluster)
    config = render(build_config({"cluster": {"kind": "local", **{k: str(v) for k, v in keys.items()}}}))
    every = Traces({**texts, **kept, **files, "job script": script.encode(), "configuration": config.encode()})
    body = [line.encode() for line in key.read_text().splitlines() if not line.startswith("-----")]
    secrets = [os.environ[name].encode() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    assert every.holding(*secrets, wrong["AWS_SECRET_ACCESS_KEY"].encode(), body[0], body[5], body[-2]) == []
    # The search itself finds something: what was looked for is what was used.
    assert every.holding(str(network.station_xml).encode()) != []
    assert b"a-secret-of-the-tests-only" in secrets
