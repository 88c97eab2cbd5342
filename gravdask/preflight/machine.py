"""What this machine has: network interfaces, scratch space, permissions of new files, open files."""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
import uuid
from pathlib import Path

import psutil

from gravdask.config import ClusterConfig
from gravdask.errors import ExecutionError
from gravdask.execution.certificates import check_certificates
from gravdask.preflight.findings import Finding, amount, fail, note, ok, umask_of_process

NETWORK_KINDS = frozenset(
    [
        "nfs",
        "nfs3",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "glusterfs",
        "afs",
        "pvfs2",
        "orangefs",
        "panfs",
        "wekafs",
        "9p",
        "quobyte",
        "fuse.sshfs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.juicefs",
        "fuse.mount.s3",
        "fuse.mountpoint-s3",
    ]
)
"""File systems that a server holds, as the system calls them."""
SCRATCH_BYTES = 2 * 10**9
"""Space that a worker that spills may need; below it is told."""
FILES, FILES_A_WORKER = 256, 12
"""Open files of a client with its scheduler, and what each worker adds."""


def interface_findings(settings: ClusterConfig) -> list[Finding]:
    """Whether the network interface of the scheduler, which runs here, is there and has an address."""
    what = "network interface"
    wanted = settings.scheduler_interface or settings.interface
    if settings.kind in {"serial", "local", "address"}:
        return [
            ok(what, "none is needed here" if settings.kind != "local" else "127.0.0.1, workers are on this machine")
        ]
    addresses = {
        name: [a.address for a in found if a.family in {socket.AF_INET, socket.AF_INET6}]
        for name, found in psutil.net_if_addrs().items()
    }
    there = "; ".join(f"{name} {found[0] if found else 'without an address'}" for name, found in addresses.items())
    if not wanted:
        outside = [name for name, found in addresses.items() if any(not _loopback(a) for a in found)]
        if not outside:
            cure = "name one that the nodes reach, or 'lo' if they are all this machine, as cluster.interface"
            return [note(what, f"none is named, and there is none but loopback ({there})", cure)]
        return [ok(what, f"none is named, the system chooses ({there})")]
    key = "cluster.scheduler_interface" if settings.scheduler_interface else "cluster.interface"
    if wanted not in addresses:
        cure = f"there are {there}; the nodes' may have another name: cluster.interface, cluster.scheduler_interface"
        return [fail(what, f"{key} = {wanted!r} is not there", cure)]
    if not addresses[wanted]:
        return [fail(what, f"{wanted} has no address", f"bring it up, or choose another ({there}) as {key}")]
    if settings.kind != "mpi" and all(_loopback(a) for a in addresses[wanted]):
        return [
            note(what, f"{wanted} {addresses[wanted][0]} is this machine's own", "workers elsewhere cannot reach it")
        ]
    return [ok(what, f"{wanted} {addresses[wanted][0]}")]


def _loopback(address: str) -> bool:
    """Whether an address leads to the machine itself only."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def scratch_findings(scratch: str) -> list[Finding]:
    """Whether the folder for spilling can be made and written to, lies on this machine, and has space."""
    folder = Path(scratch or tempfile.gettempdir())
    what = "scratch folder"
    cure = "name a folder on a disk of each node as cluster.scratch"
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"gravdask-{uuid.uuid4().hex}"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
        free = psutil.disk_usage(str(folder)).free
        kind = file_system(folder)
        if made:
            folder.rmdir()
    except OSError as error:
        return [fail(what, f"{folder} cannot be written to ({error.strerror})", cure)]
    about = f"{folder}, {kind or 'file system of an unknown kind'}, {amount(free)} free"
    if kind in NETWORK_KINDS:
        return [note(what, f"{about}: a server holds it, and all workers would spill over the network", cure)]
    if free < SCRATCH_BYTES:
        return [note(what, about, f"a worker that spills may need {amount(SCRATCH_BYTES)}; free some, or {cure}")]
    return [ok(what, about)]


def file_system(path: Path) -> str:
    """Kind of the file system that a path, there already or not, lies on; '' where the system does not tell."""
    mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    place = existing(path).resolve()
    return next((mounts[str(above)] for above in (place, *place.parents) if str(above) in mounts), "")


def existing(path: Path) -> Path:
    """Nearest folder above a path, or the path itself, that is there."""
    return next((above for above in (path, *path.parents) if above.exists()), Path("/"))


def umask_findings() -> list[Finding]:
    """What others may do with the files that a run makes."""
    mask = umask_of_process()
    about = f"{mask:04o}"
    if not mask & 0o002:
        return [note("umask", f"{about}: everybody on the cluster may change the store", "umask 0027 or 0007")]
    if mask & 0o020:
        return [note("umask", f"{about}: your group cannot write", "umask 0007 if others are to continue this work")]
    return [ok("umask", f"{about}: your group may write, others not")]


def file_limit_findings(workers: int) -> list[Finding]:
    """Whether enough files and connections may be open at once."""
    what = "open files"
    try:
        import resource
    except ImportError:  # a system without such limits
        return [ok(what, "no limit")]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return [ok(what, "no limit")]
    needed = FILES + FILES_A_WORKER * workers
    about = f"at most {soft}; {workers} workers need about {FILES} + {FILES_A_WORKER} x {workers} = {needed}"
    if soft >= needed:
        return [ok(what, about)]
    cure = f"ulimit -n {needed}" if hard == resource.RLIM_INFINITY or hard >= needed else "ask for a higher hard limit"
    return [(fail if soft < needed // 2 else note)(what, about, cure)]


def certificate_findings(settings: ClusterConfig) -> list[Finding]:
    """Whether the TLS files can be used, and the private key is private."""
    if not settings.tls_ca:
        return []
    what = "TLS"
    try:
        check_certificates(settings)
    except ExecutionError as error:
        return [fail(what, str(error), "have them made anew, or correct the paths; without them nothing is encrypted")]
    if os.stat(settings.tls_key).st_mode & 0o077:
        return [note(what, f"{settings.tls_key} can be read by others", f"chmod 600 {settings.tls_key}")]
    return [ok(what, f"{settings.tls_cert}, which {settings.tls_ca} vouches for")]
