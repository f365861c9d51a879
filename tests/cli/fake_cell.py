#!/usr/bin/env python3
"""A stand-in for hive-cell that speaks its side of the protocols and can be told to misbehave.

Tests of the monitor and of the command put it beside copies of `hive` and `hive-node`, so that what
a kernel can do wrong while a machine boots is tried without breaking a kernel for it.

HIVE_FAKE_CELL="N:FAULT" makes cell N (or every cell, with "*") misbehave:
  fail      say that it can not start          silent    never get ready
  exit      end before it is ready             exit-go   end when it is told to go
  garbage   talk nonsense to the monitor all the way
"""

import array
import errno
import json
import os
import selectors
import signal
import socket
import subprocess
import sys

MONITOR_FD = 3
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
machine_dir = arguments["--machine-dir"]
cell = int(arguments["--cell"])
with open(os.path.join(machine_dir, "machine.json")) as file:
    record = json.load(file)

where, _, what = os.environ.get("HIVE_FAKE_CELL", "").partition(":")
fault = what if where in (str(cell), "*") else ""
selector = selectors.DefaultSelector()
tasks = {}  # number -> (process, connection)


def send(channel, message, fds=()):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        channel.sendmsg([data], control, socket.MSG_NOSIGNAL)
    except OSError:
        pass


def receive(channel):
    try:
        data, fds, _, _ = socket.recv_fds(channel, 65536, 16)
    except ConnectionResetError:  # it went without having read all that was sent to it
        return b"", []
    return data, fds


def pid_of(number):
    with open(f"{machine_dir}/pid.{number}") as pid_file:
        return int(pid_file.read())


def status():
    live = [n for n in range(record["cells"]) if os.path.exists(f"{machine_dir}/cell{n}.sock")]
    cells = [{"id": n, "state": "up" if n in live else "down", "pid": pid_of(n), "epoch": 1,
              "live_set": live, "tasks": len(tasks) if n == cell else 0} for n in range(record["cells"])]
    return {"ok": True, "machine": record["machine"], "firewall": record["firewall"], "epoch": 1,
            "live_set": live, "cells": cells}


def ps():
    return {"ok": True, "machine": record["machine"],
            "tasks": [{"id": number, "cell": cell, "pid": process.pid, "state": "running",
                       "program": process.args[0]} for number, (process, _) in tasks.items()]}


def is_somewhere(program):
    return "/" in program or any(os.path.exists(os.path.join(directory, program))
                                 for directory in os.environ["PATH"].split(":"))


def run(connection, request, fds):
    cwd, *streams = fds
    number = cell * 1000000 + 1 + len(tasks)
    try:
        process = subprocess.Popen(request["arguments"], cwd=f"/proc/self/fd/{cwd}", pass_fds=[cwd],
                                   stdin=streams[0], stdout=streams[1], stderr=streams[2],
                                   env=dict([v.split("=", 1) for v in request["environment"]],
                                            HIVE_CELL=str(cell)))
    except OSError as error:
        # As a kernel does: a directory of PATH that nobody may search says EACCES of any name.
        number = error.errno if is_somewhere(request["arguments"][0]) else errno.ENOENT
        send(connection, {"ok": False, "code": "host", "error": "no program", "errno": number})
        return
    finally:
        for fd in fds:
            os.close(fd)
    tasks[number] = (process, connection)
    send(connection, {"ok": True, "task": number, "pid": process.pid})


def on_request(connection, request, fds):
    op = request.get("op")
    if op == "status":
        send(connection, status())
    elif op == "ps":
        send(connection, ps())
    elif op == "run":
        run(connection, request, fds)
    elif op == "signal":
        for process, owner in tasks.values():
            if owner is connection:
                process.send_signal(request["signal"])
    elif op == "kill" and request["task"] in tasks:
        tasks[request["task"]][0].send_signal(request["signal"])
        send(connection, {"ok": True})
    elif op == "shutdown":
        send(connection, {"ok": True})
        leave()
    elif op == "fault":
        os.kill(pid_of(request["cell"]),
                signal.SIGSTOP if request["kind"] == "hang-cell" else signal.SIGKILL)
        send(connection, {"ok": True})
    else:
        send(connection, {"ok": False, "code": "not_found", "error": "there is no such thing"})


def on_connection(connection):
    data, fds = receive(connection)
    if not data:
        for process, owner in tasks.values():
            if owner is connection:
                process.send_signal(signal.SIGHUP)
        selector.unregister(connection)
        connection.close()
        return
    on_request(connection, json.loads(data), fds)


def leave():
    for process, _ in tasks.values():
        process.kill()
    os.unlink(f"{machine_dir}/cell{cell}.sock")
    sys.exit(0)


def reap():
    for number, (process, connection) in list(tasks.items()):
        code = process.poll()
        if code is None:
            continue
        del tasks[number]
        if connection.fileno() >= 0:
            send(connection, {"event": "ended", "status": -code if code < 0 else code << 8, "cause": ""})


def on_order(monitor):
    data, _ = receive(monitor)
    if not data:
        if not os.path.exists(f"{machine_dir}/up"):
            sys.exit(1)
        selector.unregister(monitor)
        return
    order = json.loads(data)["op"]
    if fault == "garbage":
        send(monitor, b"\xff\x00{{{")
        send(monitor, {"event": 7})
        send(monitor, [1, 2])
    if order == "connect":
        send(monitor, {"event": "connected"})
    elif order == "go":
        if fault == "exit-go":
            sys.exit(9)
        send(monitor, {"event": "up"})
    elif order == "shutdown":
        leave()


def main():
    monitor = socket.socket(fileno=MONITOR_FD)
    with open(f"{machine_dir}/pid.{cell}", "w") as pid_file:
        pid_file.write(str(os.getpid()))
    if fault == "exit":
        sys.exit(9)
    if fault == "fail":
        send(monitor, {"event": "failed", "cause": "told to by a test"})
        signal.pause()
    if fault == "silent":
        receive(monitor)
        sys.exit(1)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"{machine_dir}/cell{cell}.sock")
    listener.listen(16)
    selector.register(listener, selectors.EVENT_READ,
                      lambda s: selector.register(s.accept()[0], selectors.EVENT_READ, on_connection))
    selector.register(monitor, selectors.EVENT_READ, on_order)
    send(monitor, {"event": "ready", "pid": os.getpid()}, [os.pidfd_open(os.getpid())])
    while True:
        for key, _ in selector.select(0.01):
            key.data(key.fileobj)
        reap()


main()
