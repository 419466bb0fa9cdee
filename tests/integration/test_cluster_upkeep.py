"""What an operator does to a cluster that serves: certificates are renewed, nodes restarted one after the other."""

import contextlib
import signal
import socket
import ssl

import pytest

from client import wait_until
from cluster_load import Load, Steady
from cluster_nodes import DEADLINE_SECONDS, SMALL, Cluster

HANGUPS = 8


@pytest.fixture
def new_cluster(tmp_path, request):
    """A cluster of three; all of its nodes end with the test."""
    clusters = []

    def make(**named):
        clusters.append(Cluster(tmp_path / "cluster", SMALL, **named))
        return clusters[-1].grow(3)

    yield make
    for cluster in clusters:
        cluster.finish()
        if getattr(request.node, "went_well", False):
            cluster.discard()


@contextlib.contextmanager
def no_request_fails_at(nodes, name):
    """Clients of these nodes, that repeat nothing; `go_on` waits for more of their requests."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Steady(n, prefix=f"{name}-{n.id}")) for n in nodes]

        def go_on():
            wanted = [c.answered + 50 for c in clients]
            wait_until(lambda: all(c.answered > n for c, n in zip(clients, wanted)) or
                       any(c.failures for c in clients), DEADLINE_SECONDS, "load")
        go_on()
        yield go_on
        go_on()
    for c in clients:
        assert not c.failures, f"at node {c.node.id}: {c.failures}"


def certificate_of(cluster, address):
    """The serial number that a new connection is shown; a node's port shows it to another node."""
    context = ssl.create_default_context(cafile=cluster.certs.ca)
    folder = cluster.certs.of(3)
    context.load_cert_chain(f"{folder}/node.pem", f"{folder}/node-key.pem")
    context.check_hostname = False
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as s:
        with context.wrap_socket(s) as tls:
            return tls.getpeercert()["serialNumber"]


def shown(cluster, node):
    """To clients, and to nodes."""
    return [certificate_of(cluster, f"127.0.0.1:{node.port}"), certificate_of(cluster, node.peer)]


def said(node, event):
    return node.stderr.count(f'"event":"{event}"')


def test_a_hangup_makes_a_member_read_its_certificates_again(new_cluster):
    """That for clients and that for nodes, changed or not; what it has with both of them goes on."""
    cluster = new_cluster(is_secure=True)
    node, other = cluster.nodes[1], cluster.nodes[2]
    old = shown(cluster, node)
    lost = [said(n, "peer_down") for n in cluster.running()]
    with no_request_fails_at([node, other], "steady") as go_on:
        read = said(node, "tls_certificate")
        node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: said(node, "tls_certificate") == read + 2, DEADLINE_SECONDS, "both to be read")
        assert shown(cluster, node) == old
        go_on()
        cluster.certs.renew(node.id)
        node.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(old) & set(shown(cluster, node)), DEADLINE_SECONDS, "the new certificate")
    assert [said(n, "peer_down") for n in cluster.running()] == lost
    other.restart()  # connections with the new certificate, from both sides
    cluster.settle()
    wait_until(lambda: all(n.metric("dormouse_peer_connected") >= 4 for n in cluster.running()), DEADLINE_SECONDS,
               "connections from both sides")


def test_hangups_of_all_members_at_once_disturb_nobody(new_cluster):
    cluster = new_cluster()
    read = {n.id: said(n, "tls_certificate") for n in cluster.running()}
    lost = [said(n, "peer_down") for n in cluster.running()]
    with no_request_fails_at(cluster.running(), "steady") as go_on:
        for n in range(1, HANGUPS + 1):
            for node in cluster.running():
                node.process.send_signal(signal.SIGHUP)
            wait_until(lambda n=n: all(said(m, "tls_certificate") == read[m.id] + n for m in cluster.running()),
                       DEADLINE_SECONDS, "certificates to be read")
            go_on()
    assert [said(n, "peer_down") for n in cluster.running()] == lost
    cluster.settle()


def restart_drained(cluster, node, go_on):
    """As docs/cluster.md has it."""
    member = f"/admin/v1/cluster/members/{node.id}"
    assert cluster.others(node)[0].client.post(f"{member}/drain").status == 204
    wait_until(lambda: all(s["leader"] not in (node.id, None) for s in node.cluster()["shards"]),
               DEADLINE_SECONDS, "draining")
    node.restart()
    wait_until(node.is_ready, DEADLINE_SECONDS, "readiness")
    go_on()
    assert node.client.post(f"{member}/undrain").status == 204
    cluster.settle()


def test_a_rolling_restart_loses_nothing_and_fails_no_request(new_cluster):
    """Clients of a node that restarts go to another one meanwhile; those of the others notice nothing."""
    cluster = new_cluster()
    cluster.spread()
    with Load(cluster.nodes.values(), writers=4, pause=0.005) as load:
        for node in cluster.nodes.values():
            with no_request_fails_at(cluster.others(node), f"while-{node.id}") as go_on:
                restart_drained(cluster, node, go_on)
    for node in cluster.running():
        load.check(node)
