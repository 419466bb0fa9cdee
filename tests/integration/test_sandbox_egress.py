"""What leaves a sandbox goes through the broker, which it trusts; everything else is refused."""

import json

import pytest

from client import wait_until
from sandbox import make
from test_audit import audit
from test_fetch import outside  # noqa: F401 -- a fixture

SECRET = "sk-real-0123456789abcdef"
VIA = "--proxy http://127.0.0.1:3128"


@pytest.fixture
def node(start_node):
    return start_node("--allow-private-targets")


@pytest.fixture
def box(node, outside):
    assert node.client.put("/admin/v1/namespaces/test/secrets/KEY", json={"value": SECRET}).status == 204
    return make(node.client, egress={"allow": [outside.host], "inject": {"127.0.0.1": {"X-Sent": "k={{secret:KEY}}"}}})


def test_an_allowed_host_is_asked_with_the_secret_and_the_sandbox_never_sees_it(node, box, outside):
    shown = box.sh(f"curl -sS -i {VIA} {outside.url}/x")
    assert shown.startswith("HTTP/1.1 200") and "x-seen: k=" + "*" * len(SECRET) in shown.lower(), shown
    found = box.sh(f"grep -rl '[s]{SECRET[1:]}' /proc/*/environ /proc/*/cmdline /etc /root /tmp /var /home 2>/dev/null || true")
    assert found == "" and SECRET not in box.sh("env")


@pytest.mark.parametrize("client", [
    "curl -sS -w ' %{http_code}' https://evil.example.org/y",
    "python3 -c 'import urllib.request as u, urllib.error as e\n"
    "try: u.urlopen(\"https://evil.example.org/y\")\n"
    "except e.HTTPError as h: print(h.read().decode(), h.code)'",
    "node -e 'fetch(\"https://evil.example.org/y\").then(async (r) => console.log(await r.text(), r.status))'",
])
def test_a_host_that_is_not_allowed_is_403_over_https_to_clients_as_they_are(box, client):
    shown = box.sh(client).strip()
    assert shown.endswith(" 403") and json.loads(shown[:-4])["code"] == "egress_denied", shown


def test_git_hears_why_too(box):
    got = box.run("git", "ls-remote", "https://evil.example.org/a.git")
    assert got["exit_code"] != 0 and "403" in got["stderr"], got


def test_nothing_else_leaves(box, outside):
    port = outside.host.split(":")[1]
    for target in [f"http://127.0.0.1:{port}/", "http://1.1.1.1:8080/", "http://169.254.169.254:8080/"]:
        assert box.run("curl", "-sS", "-m", "5", target)["exit_code"] == 7, target
    assert box.sh("python3 -c 'import socket; print(socket.gethostbyname(\"any.name.example\"))'").strip() == "198.18.0.1"


def test_without_rules_every_host_is_denied(node):
    bare = make(node.client)
    wait_until(lambda: bare.run("curl", "-sS", "https://evil.example.org/")["exit_code"] == 0)
    assert json.loads(bare.sh("curl -sS https://evil.example.org/"))["code"] == "egress_denied"


def test_each_request_is_a_record_of_the_sandbox(node, box, outside):
    box.sh(f"curl -sS {VIA} {outside.url}/seen; curl -sS https://evil.example.org/denied")
    def records():
        return [r for r in audit(node.client)["records"] if r["path"] in ("/seen", "/denied")]

    wait_until(lambda: len(records()) == 2)
    denied, seen = sorted(records(), key=lambda r: r["path"])
    assert (seen["sandbox"], seen["status"], seen["secrets"], seen["code"]) == ("s", 200, ["KEY"], "")
    assert (denied["host"], denied["port"], denied["code"]) == ("evil.example.org", 443, "egress_denied")


def test_it_goes_on_after_sleep_and_after_the_broker_has_died(node, box, outside):
    ask = f"curl -sS -o /dev/null -w '%{{http_code}}' {VIA} {outside.url}/x"
    assert box.sh(ask) == "200"
    assert node.client.post(f"{box.path}/sleep").status in (200, 204)
    assert box.sh(ask) == "200"


@pytest.mark.parametrize("rules,why", [
    ({"allow": ["*"]}, None), ({"allow": [7]}, "a pattern of hosts"), ({"inject": {"a": {"X": "{{secret:}}"}}}, "inject"),
    ({"more": 1}, "a member other than"), ({"requests_per_minute": -1}, "requests_per_minute")])
def test_rules_that_are_none_are_400(node, rules, why):
    answer = node.client.put("/v1/test/Store/rules/sandboxes/s", json={"egress": rules})
    assert answer.status == (201 if why is None else 400), answer
    assert why is None or why in answer.json["detail"]


def test_one_that_sleeps_before_the_authority_is_made_wakes_and_trusts_it(start_node):
    for _ in range(3):  # the first sandbox of a cluster has it made
        node = start_node()
        box = make(node.client)
        assert node.client.post(f"{box.path}/sleep").status == 200
        wait_until(lambda: box.run("curl", "-sS", "https://evil.example.org/")["exit_code"] == 0)
