"""The files for Kubernetes and for containers: their schemas, and that they fit each other and the package."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gravdask.config import STAGES, build_config, load_values

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def load(name: str) -> dict[str, Any]:
    """The one object of a file."""
    (found,) = yaml.safe_load_all((CLUSTER / "k8s" / name).read_text(encoding="utf-8"))
    return found


@pytest.fixture
def cluster() -> dict[str, Any]:
    return load("cluster.yaml")


@pytest.fixture
def job() -> dict[str, Any]:
    return load("job.yaml")


def as_api_objects() -> list[Any]:
    """Everything in the files that is of a kind of Kubernetes' own."""
    cluster = load("cluster.yaml")

    def of(kind: str, **content: Any) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **content}

    return [
        pytest.param(load("job.yaml"), id="job"),
        pytest.param(of("Pod", spec=cluster["spec"]["worker"]["spec"]), id="worker"),
        pytest.param(of("Pod", spec=cluster["spec"]["scheduler"]["spec"]), id="scheduler"),
        pytest.param(of("Service", spec=cluster["spec"]["scheduler"]["service"]), id="service"),
    ]


@pytest.mark.parametrize("described", as_api_objects())
@pytest.mark.parametrize("version", ["1.29", "1.33"])
def test_kubernetes_own_schema_takes_them(described: dict[str, Any], version: str) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    validator.validate(described, version, strict=True)


def test_the_cluster_is_one_that_the_operator_takes(cluster: dict[str, Any]) -> None:
    assert cluster.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (cluster["apiVersion"], cluster["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    worker, scheduler = (cluster["spec"].pop(part) for part in ("worker", "scheduler"))
    assert cluster["spec"] == {}
    assert worker.keys() == {"replicas", "spec"}
    assert isinstance(worker["replicas"], int)
    assert scheduler.keys() == {"spec", "service"}
    # The operator finds the scheduler's ports by these names, and its pods by these labels.
    name = cluster["metadata"]["name"]
    assert scheduler["service"]["selector"] == {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    ports = {p["name"]: p["containerPort"] for p in scheduler["spec"]["containers"][0]["ports"]}
    assert ports == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert {p["targetPort"]: p["port"] for p in scheduler["service"]["ports"]} == ports
    assert "$(DASK_WORKER_NAME)" in worker["spec"]["containers"][0]["args"]


def test_a_worker_is_one_thread_that_fits_into_its_pod(cluster: dict[str, Any]) -> None:
    from dask.utils import parse_bytes

    from gravdask.execution.units import CALM, JOB_ENVIRONMENT

    (worker,) = cluster["spec"]["worker"]["spec"]["containers"]
    arguments = worker["args"]
    assert arguments[:2] == ["dask", "worker"]
    assert arguments[arguments.index("--nthreads") + 1] == "1"
    limit = parse_bytes(arguments[arguments.index("--memory-limit") + 1])
    for part in ("requests", "limits"):
        assert worker["resources"][part]["cpu"] == "1"
        assert parse_bytes(f"{worker['resources'][part]['memory']}B") > limit
    told = {e["name"]: e["value"] for e in worker["env"]}
    assert told.items() <= JOB_ENVIRONMENT.items()
    assert set(CALM.values()) <= set(told.values())
    assert {"OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_"} <= told.keys()
    mounts = {m["mountPath"] for m in worker["volumeMounts"]}
    assert arguments[arguments.index("--local-directory") + 1] in mounts


def test_the_profile_leads_to_the_cluster(cluster: dict[str, Any]) -> None:
    settings = build_config(load_values(CLUSTER / "k8s.toml")).cluster
    (port,) = [p["port"] for p in cluster["spec"]["scheduler"]["service"]["ports"] if p["name"] == "tcp-comm"]
    assert settings.kind == "address"
    assert settings.address == f"tcp://{cluster['metadata']['name']}-scheduler:{port}"


def test_the_job_runs_what_exists(job: dict[str, Any]) -> None:
    spec = job["spec"]["template"]["spec"]
    (client,) = spec["containers"]
    assert client["args"][:3] == ["gravdask", "run", "-c"]
    stages = client["args"][client["args"].index("--stages") + 1].split(",")
    assert tuple(stages) == STAGES[:-1], "all but the report, which would be lost with the pod"
    assert Path(client["args"][3]).parent == Path(client["volumeMounts"][0]["mountPath"])
    # Codes 3 (stopped) and 5 (no worker came) are worth another pod; the others are not.
    (rule,) = [r["onExitCodes"] for r in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in r]
    assert rule == {"containerName": client["name"], "operator": "In", "values": [1, 2, 4]}
    assert spec["restartPolicy"] == "Never", "else no rule about failures is allowed"


def test_all_pods_are_of_one_image_and_no_secret_is_written_down(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    specs = [cluster["spec"][part]["spec"] for part in ("worker", "scheduler")] + [job["spec"]["template"]["spec"]]
    containers = [c for spec in specs for c in spec["containers"]]
    assert len({c["image"] for c in containers}) == 1
    assert all(spec["securityContext"]["runAsNonRoot"] for spec in specs)
    readers = [c["name"] for c in containers if {"secretRef": {"name": "gravdask-s3"}} in c.get("envFrom", [])]
    assert readers == ["worker", "gravdask"], "the scheduler needs no keys"
    text = "".join((CLUSTER / "k8s" / name).read_text(encoding="utf-8") for name in ("cluster.yaml", "job.yaml"))
    assert not re.search(r"name: AWS_", text)


def instructions(name: str) -> list[list[str]]:
    """Instructions of a Dockerfile, with lines that go on joined."""
    text = (CLUSTER / name).read_text(encoding="utf-8")
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    return [[line.split()[0], line.partition(" ")[2].strip()] for line in lines]


def test_the_image_holds_the_package() -> None:
    told = instructions("Dockerfile")
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "CMD"}
    assert {name for name, _ in told} <= known
    assert told[0][0] == "FROM"
    copied = [word for name, rest in told if name == "COPY" for word in rest.split()[:-1]]
    for source in copied:
        assert (ROOT / source).exists(), source
    # What the build of the package reads must be there.
    needed = {"pyproject.toml", PYPROJECT["project"]["readme"], *PYPROJECT["project"]["license-files"], "gravdask"}
    assert needed <= set(copied)
    assert_installs(" ".join(rest for name, rest in told if name == "RUN"))
    assert [rest for name, rest in told if name == "USER"] == ["1000"]


def test_the_other_image_holds_the_package() -> None:
    text = (CLUSTER / "apptainer.def").read_text(encoding="utf-8")
    head, *parts = re.split(r"^%(\w+).*$", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    keys = dict(line.split(": ", 1) for line in head.splitlines() if line.strip())
    from_line = next(rest for name, rest in instructions("Dockerfile") if name == "FROM")
    assert keys == {"Bootstrap": "docker", "From": from_line}
    assert sections.keys() <= {"files", "post", "environment", "test", "runscript", "help"}
    copied = [shlex.split(line) for line in sections["files"].splitlines() if line.strip()]
    assert all((ROOT / source).exists() and target == f"/opt/gravdask/{source}" for source, target in copied)
    assert {"pyproject.toml", "README.md", "LICENSE", "gravdask"} <= {source for source, _ in copied}
    assert_installs(sections["post"])
    assert 'exec gravdask "$@"' in sections["runscript"]


def assert_installs(commands: str) -> None:
    """The package is installed, with extras that it has and for a Python that it takes."""
    found = re.search(r"pip install --no-cache-dir \"\S*\[([\w,]+)\]\"", commands)
    assert found is not None
    assert set(found[1].split(",")) <= PYPROJECT["project"]["optional-dependencies"].keys()
    python = next(rest for name, rest in instructions("Dockerfile") if name == "FROM")
    version = re.fullmatch(r"python:(\d+)\.(\d+)-slim", python)
    assert version is not None
    assert (int(version[1]), int(version[2])) >= (3, 11)
