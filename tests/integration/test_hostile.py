"""Each attack of tests/lib/attack once, in short: whoever comes from another address is answered as ever,
and what the attack took is given back. How long answers take is for hostile.py to say, on a machine
that does nothing else."""

from client import Actor, Client, wait_until
from hostile import Attack, attacks, prepare
from test_tls import Certificates
from thin import once

MIB = 1024 * 1024
CONNECTIONS = 150
DEADLINE_SECONDS = 60      # of an attack that does not get on
ROUNDS = 3                 # of the good client, at least
MOST_BYTES = 512 * MIB     # more than at its start, while it is attacked: two addresses' share
AFTER_BYTES = 96 * MIB     # ... and when it is over

# Units of work after which an attack is over: where one costs much, or a connection does only one.
WORK = 5000
WORK_OF = {
    "idle": 100, "idle-again": 100, "idle-after-a-request": 100, "connects": 1000, "slow-headers": 200,
    "slow-fat-headers": 200, "huge-headers": 100, "many-headers": 100, "fat-requests": 200, "slow-bodies": 200,
    "slow-fat-bodies": 100 * MIB, "dear-json": 5, "dear-text": 1, "dear-gets": 64, "watches-deaf": 100,
    "rubbish": 100, "h2-idle": 100, "h2-slow-bodies": 500, "pipelining-large": 200, "pipelining-lists": 500, "h2-slow-headers": 200,
    "tls-hellos": 200, "tls-hellos-held": 100, "tls-half-hellos": 100, "tls-slow-hellos": 200, "tls-idle": 100,
    "tls-rubbish": 200, "tls-sessions": 100, "tls-renegotiations": 200, "tls-key-updates": 1000,
    "tls-tiny-records": 1000, "tls-requests": 1000,
}


def behave(node, turn):
    """What the good client does, and gets."""
    actor = Actor(node.client, f"good {turn % 8}")
    assert actor.put("k", turn).status == 204
    assert actor.get("k").json == turn
    fresh = Client(node.url, ca=node.ca)
    try:
        assert fresh.get(actor.kv("k")).json == turn
    finally:
        fresh.close()


def endure(node, name):
    before = most = node.memory_bytes()
    attack = Attack(node, name, "--connections", CONNECTIONS, "--work", WORK_OF.get(name, WORK), "--seconds",
                    DEADLINE_SECONDS)
    attack.has_begun()
    turn = 0
    while turn < ROUNDS or attack.process.poll() is None:
        behave(node, turn)
        most = max(most, node.memory_bytes())
        turn += 1
    did = attack.end()
    assert did["units"] > 0 and did["opened"] > 0, did
    assert most <= before + MOST_BYTES, (name, before, most)
    wait_until(lambda: node.memory_bytes() <= before + AFTER_BYTES)
    node.check()


@once
def test_under_every_attack_others_are_answered(start_node):
    node = start_node()
    prepare(node)
    for name in [name for name, is_tls in attacks().items() if not is_tls]:
        endure(node, name)


def test_under_every_attack_by_tls_others_are_answered(start_node, tmp_path):
    certificates = Certificates(tmp_path)
    certificates.issue("node")
    node = start_node(*certificates.flags, ca=certificates.ca)
    prepare(node)
    for name in [name for name, is_tls in attacks().items() if is_tls]:
        endure(node, name)
