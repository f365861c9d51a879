#!/usr/bin/env python3
"""What PostgreSQL makes of it when one of its backends is killed, for comparison with Hive.

Usage: postgres.py [--bindir DIR] [--kills N] [--sessions N] [--log-mib N,N,...] [--json]

A server of its own, in a temporary directory, on a Unix socket. Of some sessions that have been
served, the backend of one is killed with SIGKILL. Counted: the other sessions that lose their
connection; measured: how long until a new session is served again. Before each kill so many MiB
of log have been written since the last checkpoint, which is what the server has to go through.

Exit status: 0; 1 when PostgreSQL does not do what is expected of it; 2 when it is not installed.
"""

import argparse
import glob
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "evaluation"))
import machine as hive  # for the description of the host, and an end in order

DEADLINE_S = 120
ROW_BYTES = 1000
ROWS_AT_ONCE = 10_000
USER = "hive"
PROTOCOL = 3 << 16


class Failed(Exception):
    pass


class Gone(Exception):
    """The server has ended the connection, or takes none now."""


class Session:
    """The little of PostgreSQL's protocol (version 3, no password) that is needed."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.settimeout(DEADLINE_S)
            self.socket.connect(path)
            names = b"user\0" + USER.encode() + b"\0database\0postgres\0\0"
            self.socket.sendall(struct.pack("!ii", len(names) + 8, PROTOCOL) + names)
            self.rows_until_ready()
        except (OSError, Gone) as problem:
            self.socket.close()
            raise Gone(str(problem)) from None

    def close(self):
        self.socket.close()

    def receive(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise Gone("the connection has ended")
            data += part
        return data

    def rows_until_ready(self):
        rows = []
        while True:
            kind, length = struct.unpack("!ci", self.receive(5))
            body = self.receive(length - 4)
            if kind == b"E":
                raise Gone(body.replace(b"\0", b" ").decode(errors="replace"))
            if kind == b"D":  # one column is enough
                (size,) = struct.unpack("!i", body[2:6])
                rows.append(body[6:6 + size].decode())
            if kind == b"Z":
                return rows

    def ask(self, query):
        body = query.encode() + b"\0"
        try:
            self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
            return self.rows_until_ready()
        except OSError as problem:
            raise Gone(str(problem)) from None

    def has_ended(self):
        """Whether the server has hung up, without asking it anything."""
        if not select.select([self.socket], [], [], 0)[0]:
            return False
        try:
            while self.socket.recv(4096, socket.MSG_DONTWAIT):
                pass
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True


class Server:
    def __init__(self, bindir, directory):
        self.bindir, self.directory = bindir, directory
        self.data = f"{directory}/data"
        self.socket = f"{directory}/.s.PGSQL.5432"
        # PostgreSQL refuses to run as root.
        self.as_user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self.as_user:
            owner = pwd.getpwnam("postgres")
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        self.run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "--no-sync")
        self.process = subprocess.Popen(
            [f"{bindir}/postgres", "-D", self.data, "-k", directory, "-c", "listen_addresses=",
             "-c", "max_wal_size=16GB", "-c", "checkpoint_timeout=1h"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=directory, **self.as_user)

    def run(self, program, *arguments):
        done = subprocess.run([f"{self.bindir}/{program}", *arguments], cwd=self.directory,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False, **self.as_user)
        if done.returncode != 0:
            raise Failed(f"{program}: {done.stderr.strip()}")

    def wait_session(self):
        """A session that has been served."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                session = Session(self.socket)
                session.ask("select 1")
                return session
            except Gone as problem:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise Failed(f"no session is served: {problem}") from None
                time.sleep(0.001)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def write_log(session, mib):
    """Returns how much was written since the checkpoint before it."""
    session.ask("drop table if exists filled")
    session.ask("create table filled (number int, words text)")
    session.ask("checkpoint")
    (begin,) = session.ask("select pg_current_wal_lsn()")

    def written():
        (bytes_,) = session.ask(f"select pg_wal_lsn_diff(pg_current_wal_lsn(), '{begin}')::bigint")
        return int(bytes_) / 2**20
    while written() < mib:
        session.ask(f"insert into filled select g, repeat('x', {ROW_BYTES}) "
                    f"from generate_series(1, {ROWS_AT_ONCE}) g")
    return written()


def kill_once(server, count, mib):
    with_log = server.wait_session()
    written = write_log(with_log, mib) if mib else 0
    sessions = [with_log] + [server.wait_session() for _ in range(count - 1)]
    (pid,) = sessions[-1].ask("select pg_backend_pid()")
    for session in sessions:
        session.ask("select 1")
    begin = time.monotonic()
    os.kill(int(pid), signal.SIGKILL)
    # The server still serves until it has noticed; what counts is the first session after that.
    survivors = sessions[:-1]
    while not all(session.has_ended() for session in survivors):
        if time.monotonic() > begin + DEADLINE_S:
            raise Failed("the other sessions live on")
        time.sleep(0.0005)
    dropped_s = time.monotonic() - begin
    again = server.wait_session()
    served_s = time.monotonic() - begin
    for session in [*sessions, again]:
        session.close()
    return {"log_mib": written, "survivors": len(survivors), "dropped": len(survivors),
            "dropped_ms": dropped_s * 1e3, "served_again_ms": served_s * 1e3}


def measure(server, given):
    host = hive.host()
    rows = []
    for mib in given.log_mib:
        kills = [kill_once(server, given.sessions, mib) for _ in range(given.kills)]
        served = [kill["served_again_ms"] for kill in kills]
        rows.append({"log_mib": statistics.median(kill["log_mib"] for kill in kills),
                     "kills": len(kills), "survivors": sum(k["survivors"] for k in kills),
                     "dropped": sum(kill["dropped"] for kill in kills),
                     "served_again_ms": {"p50": statistics.median(served), "max": max(served)},
                     "each": kills})
        hive.say(f"{mib} MiB of log: done")
    (version,) = server.wait_session().ask("show server_version")
    host["load_after"] = os.getloadavg()
    return {"what": "postgres", "host": host, "peer": "PostgreSQL", "version": version,
            "sessions": given.sessions, "rows": rows}


def find_bindir():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), reverse=True)
    return pathlib.Path(found[0]).parent if found else None


def report(result):
    print(f"PostgreSQL {result['version']}, {result['sessions']} sessions, of which one is killed")
    print(f"{'LOG':>10} {'KILLS':>7} {'SURVIVORS':>10} {'DROPPED':>8} "
          f"{'SERVED AGAIN, MEDIAN':>21} {'WORST':>9}")
    for row in result["rows"]:
        served = row["served_again_ms"]
        print(f"{row['log_mib']:6.0f} MiB {row['kills']:7} {row['survivors']:10} "
              f"{row['dropped']:8} {served['p50']:18.0f} ms {served['max']:6.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bindir", type=pathlib.Path, default=find_bindir())
    parser.add_argument("--kills", type=int, default=10, help="for each amount of log")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--log-mib", default="0,100,450",
                        type=lambda text: [int(number) for number in text.split(",")])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.bindir is None or not (given.bindir / "postgres").exists():
        print("postgres: PostgreSQL is not installed: apt-get install -y postgresql",
              file=sys.stderr)
        return 2
    hive.end_in_order()
    directory = tempfile.mkdtemp(prefix="hive-postgres-")
    server = None
    try:
        server = Server(given.bindir, directory)
        result = measure(server, given)
    except (Failed, Gone, OSError, subprocess.TimeoutExpired) as problem:
        print(f"postgres: {problem}", file=sys.stderr)
        return 1
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    if given.json:
        print(json.dumps(result, indent=1))
    else:
        report(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
