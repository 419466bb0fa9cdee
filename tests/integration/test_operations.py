"""Section 7: health and metrics."""

import re

from client import Actor, expect_problem, wait_until
from thin import once


def test_healthz_is_200_while_the_process_lives(client):
    answer = client.get("/healthz")
    assert answer.status == 200 and answer.json["status"] == "ok"


def test_readyz_is_200_once_every_shard_has_a_leader(node):
    """The ready line comes when it does: whoever has read it finds the node ready."""
    for kill in [True, False]:
        assert node.client.get("/readyz").status == 200
        assert node.client.put("/v1/test/Store/a/kv/k", "1").status == 204
        node.restart(kill)
    assert node.client.get("/readyz").status == 200


def test_health_is_open(client):
    for path in ["/healthz", "/readyz"]:
        for method in ["GET", "HEAD"]:
            assert client.request(method, path).status == 200
        expect_problem(client.post(path), 405, "method_not_allowed")


SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\n]|\\\\["\\\\n])*",?)*)\})? (\S+)')


def metrics_of(client):
    """{(name, labels): value} and {name: type} of the text format 0.0.4; fails where it is not that."""
    answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.type == "text/plain; version=0.0.4; charset=utf-8"
    samples, types, helped = {}, {}, set()
    assert answer.body.endswith(b"\n")
    for line in answer.body.decode().splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in helped, line
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in ("counter", "gauge", "histogram") and name not in types, line
            types[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, labels, value = match.groups()
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            assert (family if types.get(family) == "histogram" else name) in types, line
            assert (name, labels) not in samples, line
            samples[name, labels] = float(value)
    return samples, types


def test_metrics_are_prometheus_text(client, actor):
    before, types = metrics_of(client)
    assert {"counter", "gauge", "histogram"} <= set(types.values())
    for name, kind in types.items():
        assert name.startswith("dormouse_") and (kind != "counter" or name.endswith("_total")), name
    for _ in range(5):
        actor.put("k", 1)
    actor.get("absent")
    after, _ = metrics_of(client)

    def grown(name, labels=None):
        return after[name, labels] - before.get((name, labels), 0)

    assert grown("dormouse_turns_total") >= 6
    assert grown("dormouse_batches_total") >= 5
    assert grown("dormouse_requests_total", 'route="/v1/*/*/*/kv/*"') == 6
    assert grown("dormouse_errors_total", 'reason="NO_SUCH_KEY",status="404"') == 1
    assert after["dormouse_actors_awake", None] >= 1
    for name, kind in types.items():
        if kind != "histogram":
            continue
        bounds = [(float(labels[4:-1]), value) for (sample, labels), value in after.items()
                  if sample == name + "_bucket"]
        assert bounds == sorted(bounds) and bounds[-1][0] == float("inf")
        assert bounds[-1][1] == after[name + "_count", None]


@once
def test_memory_bounds_awake_actors_and_what_is_not_yet_in_the_store(start_node):
    node = start_node("--memory", "64M")
    value = b"x" * 2**20
    for i in range(200):
        put = Actor(node.client, f"a{i}")
        wait_until(lambda a=put: a.put_bytes("k", value).status == 204, what="a write")
    for i in range(200):
        assert Actor(node.client, f"a{i}").get("k").body == value
    samples, _ = metrics_of(node.client)
    held = samples["dormouse_actor_memory_bytes", None] + samples["dormouse_uncheckpointed_bytes", None]
    assert 2**20 < held <= 64 * 2**20
