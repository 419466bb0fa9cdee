"""Clusters of three nodes on one machine, for tests/bench/run: ours, and etcd's."""

import base64
import json
import os
import re
import select
import subprocess
import sys
import time
import urllib.request

NODES = 3
FORM_SECONDS = 60


def call(url, body=None, method=None, seconds=5):
    request = urllib.request.Request(url, data=body, method=method)
    with urllib.request.urlopen(request, timeout=seconds) as answer:
        return json.loads(answer.read() or b"null")


def await_true(what, condition, seconds=FORM_SECONDS, pause=0.1):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {seconds:.0f} s")
        select.select([], [], [], pause)


def is_whole(url):
    """Every shard has three replicas that are up to date, and the leaders are spread."""
    shards = call(url + "/admin/v1/cluster")["shards"]
    leads = [sum(s["leader"] == node for s in shards) for node in range(1, NODES + 1)]
    return all(len(s["replicas"]) == NODES and s["lag"] is not None and s["lag"] < 10
               for s in shards) and max(leads) - min(leads) <= 2


def start_dormouse(bench, daemon, version, ports, shards=None, directory=None):
    """The servers and the URL of the first of them."""
    directory = directory or bench.dir
    certs = os.path.join(directory, "certs")
    client = os.path.join(bench.build, "dormouse")
    servers = []
    for node in range(1, NODES + 1):
        subprocess.run([client, "cluster", "certs", "--dir", certs, "--node-id", str(node),
                        "--host", "127.0.0.1"], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL)
    first = f"http://127.0.0.1:{ports[0]}"
    for node in range(1, NODES + 1):
        command = [daemon, "--data", os.path.join(directory, f"cluster-{node}"),
                   "--listen", f"127.0.0.1:{ports[node - 1]}", "--node-id", str(node),
                   "--peer-listen", f"127.0.0.1:{ports[NODES + node - 1]}",
                   "--cluster-certs", os.path.join(certs, f"node-{node}")]
        if node == 1:
            command += ["--cluster-init"] + (["--shards", str(shards)] if shards else [])
        else:
            token = call(first + "/admin/v1/cluster/join-tokens", b"{}", "POST")["token"]
            command += ["--join", f"127.0.0.1:{ports[NODES]}", "--join-token", token]
        servers.append(bench.start("Dormouse", version, command).await_ready_line())
    await_true("the cluster forms", lambda: is_whole(first), FORM_SECONDS + (shards or 0) / 4)
    return servers, first


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def anonymous_kb(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"RssAnon:\s*(\d+) kB", f.read())[1])


def sit_idle(servers, seconds):
    """What each node uses while nobody asks for anything: processor time in percent of one, and KB."""
    before, started = [processor_seconds(s.pid) for s in servers], time.monotonic()
    select.select([], [], [], seconds)
    passed = time.monotonic() - started
    return {"cpu_percent": [100 * (processor_seconds(s.pid) - b) / passed
                            for s, b in zip(servers, before)],
            "kb": [anonymous_kb(s.pid) for s in servers]}


def start_etcd(bench, binary, version, ports):
    members = ",".join(f"n{i}=http://127.0.0.1:{ports[NODES + i]}" for i in range(NODES))
    servers = []
    for i in range(NODES):
        url, peer = f"http://127.0.0.1:{ports[i]}", f"http://127.0.0.1:{ports[NODES + i]}"
        servers.append(bench.start(
            "etcd", version,
            [binary, "--name", f"n{i}", "--data-dir", os.path.join(bench.dir, f"etcd-{i}"),
             "--listen-client-urls", url, "--advertise-client-urls", url,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", members, "--log-level", "error"]))
    for server, port in zip(servers, ports):
        server.await_port(port)

    def answers():
        try:
            call(f"http://127.0.0.1:{ports[0]}/v3/kv/range",
                 json.dumps({"key": base64.b64encode(b"ready").decode()}).encode())
            return True
        except OSError:
            return False

    await_true("etcd has a leader", answers)
    leader = call(f"http://127.0.0.1:{ports[0]}/v3/maintenance/status", b"{}")["leader"]
    for port in ports[:NODES]:  # its clients speak to the leader: the best that they can do
        status = call(f"http://127.0.0.1:{port}/v3/maintenance/status", b"{}")
        if status["header"]["member_id"] == leader:
            return servers, f"http://127.0.0.1:{port}"
    sys.exit("no member of etcd says that it leads")
