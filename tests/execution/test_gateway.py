"""A cluster of a real dask-gateway, found by its name."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVER = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.address = "127.0.0.1:{0}"
c.Proxy.address = "127.0.0.1:{1}"
c.Proxy.tcp_address = "127.0.0.1:{2}"
c.LocalBackend.clusters_directory = "{folder}"
c.ClusterConfig.scheduler_cmd = ["{python}", "-m", "dask", "scheduler"]
c.ClusterConfig.worker_cmd = ["{python}", "-m", "dask", "worker"]
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[dict[str, object]]:
    """A gateway's server on this machine; gives what Dask's configuration says of it."""
    pytest.importorskip("dask_gateway_server", reason="dask-gateway-server is not installed")
    ports = free_ports(3)
    (tmp_path / "config.py").write_text(SERVER.format(*ports, folder=tmp_path, python=sys.executable))
    command = [sys.executable, "-m", "dask_gateway_server", "-f", str(tmp_path / "config.py")]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
    try:
        for port in ports:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert server.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                    time.sleep(0.1)
        yield {
            "gateway.address": f"http://127.0.0.1:{ports[1]}",
            "gateway.proxy-address": f"gateway://127.0.0.1:{ports[2]}",
            "gateway.auth.type": "basic",
            "gateway.auth.kwargs": {"username": "me"},
        }
    finally:
        server.terminate()
        server.wait(30)


SCRIPT = """
import json, os, sys
import dask
from dask_gateway import Gateway
from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError
from gravdask.execution import DaskRunner

def make_work():
    def work(n):
        import os
        return n * n, os.getpid()
    return work

if __name__ == "__main__":
    dask.config.set(json.loads(sys.argv[1]))
    with Gateway() as known:
        cluster = known.new_cluster(shutdown_on_close=True)
        cluster.scale(1)
        runner = DaskRunner(ClusterConfig(kind="address", address="gateway:" + cluster.name), print)
        found = dict(runner.run(make_work(), range(50)))
        runner.close()
        assert {n: value for n, (value, _) in found.items()} == {n: n * n for n in range(50)}
        assert os.getpid() not in {process for _, process in found.values()}
        assert [c.name for c in known.list_clusters()] == [cluster.name], "the cluster was not left as it was"
        absent = DaskRunner(ClusterConfig(kind="address", address="gateway:nobody"), print)
        try:
            absent.client()
        except ExecutionError as error:
            print(error)
        absent.close()
        cluster.shutdown()
    print("through")
"""


@pytest.mark.slow
@pytest.mark.cluster
def test_a_cluster_of_a_gateway_does_the_work_and_stays(gateway: dict[str, object], tmp_path: Path) -> None:
    # In a process of its own: the clients of dask-gateway warn where they are collected.
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), json.dumps(gateway)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("through\n")
    assert re.search(r"no cluster 'nobody' of dask-gateway answers .*list_clusters", done.stdout)
