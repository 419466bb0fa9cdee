"""The basics through clients that others wrote: curl, Python's and Node's standard libraries."""

import http.client
import json
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest



def run(*command, stdin=None, seconds=120):
    result = subprocess.run(command, input=stdin, capture_output=True, timeout=seconds, check=False)
    assert result.returncode == 0, result
    return result.stdout


@pytest.fixture
def url(shared_node, actor):
    """Of an actor that nobody has used."""
    return shared_node.url + actor.path


# curl


def curl(*arguments, stdin=None):
    """The status and the body; errors of curl itself fail the test."""
    out = run("curl", "-sS", "-w", "\n%{http_code}", *arguments, stdin=stdin)
    body, _, status = out.rpartition(b"\n")
    return int(status), body


@pytest.fixture(params=["http1.1", "http1.0"])
def curl_version(request):
    return f"--{request.param}"


def test_curl_puts_and_gets(url, curl_version):
    status, body = curl(curl_version, "-X", "PUT", f"{url}/kv/plan", "-d", '{"goal":"ship"}')
    assert (status, body) == (204, b"")
    assert curl(curl_version, f"{url}/kv/plan") == (200, b'{"goal":"ship"}')
    status, body = curl(curl_version, f"{url}/kv/absent")
    assert status == 404 and json.loads(body)["code"] == "no_such_key"


def test_curl_uploads_and_downloads_bytes(url, tmp_path):
    data = bytes(range(256)) * 4096
    (tmp_path / "photo").write_bytes(data)
    status, _ = curl("-T", str(tmp_path / "photo"), f"{url}/kv/photo", "-H",
                     "Content-Type: application/octet-stream")
    assert status == 204
    status, body = curl("-X", "PUT", f"{url}/kv/copy", "-H", "Content-Type: application/octet-stream",
                        "-H", "Transfer-Encoding: chunked", "--data-binary", "@-", stdin=data)
    assert (status, body) == (204, b"")
    for key in "photo", "copy":
        run("curl", "-sSf", "-o", str(tmp_path / key), f"{url}/kv/{key}")
        assert (tmp_path / key).read_bytes() == data


def test_curl_heads_deletes_and_transacts(url):
    curl("-X", "PUT", f"{url}/kv/k", "-d", "1")
    assert b"etag: " in run("curl", "-sSI", f"{url}/kv/k").lower()
    status, body = curl("-X", "POST", f"{url}/txn", "-d", '{"do":[{"add":"k","by":41}]}')
    assert status == 200 and json.loads(body)["results"] == [{"value": 42}]
    out = run("curl", "-sSi", "-X", "DELETE", f"{url}/kv/k")
    assert b"dormouse-existed: true" in out.lower()
    status, body = curl(f"{url}/kv?limit=1")
    assert status == 200 and json.loads(body) == {"entries": [], "next": None}


def test_curl_sends_many_requests_on_one_connection(url):
    commands = []
    for i in range(20):
        commands += ["-X", "PUT", f"{url}/kv/{i}", "-d", str(i), "-w", "%{http_code} %{num_connects}\n",
                     "--next"]
    lines = run("curl", "-sS", *commands[:-1]).decode().splitlines()
    assert [line.split()[0] for line in lines] == ["204"] * 20
    assert sum(int(line.split()[1]) for line in lines) == 1


def test_curl_offers_to_upgrade_to_http2_and_is_answered(url):
    """The offer is ignored, as RFC 9110 allows."""
    status, _ = curl("--http2", f"{url}/kv/absent")
    assert status == 404


def test_curl_sees_why_a_body_is_too_large_before_it_has_sent_all(url, tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 20_000_000)
    status, body = curl("-T", str(tmp_path / "large"), f"{url}/kv/large")
    assert status == 413 and json.loads(body)["code"] == "too_large"


# Python


def test_pythons_http_client_works(shared_node, actor):
    connection = http.client.HTTPConnection("127.0.0.1", shared_node.port, timeout=60)
    for i in range(10):
        connection.request("PUT", actor.kv("k"), json.dumps({"i": i}),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 204 and answer.read() == b""
        connection.request("GET", actor.kv("k"))
        answer = connection.getresponse()
        assert answer.status == 200 and json.loads(answer.read()) == {"i": i}
    connection.request("POST", f"{actor.path}/txn", iter([b'{"do":', b'[{"get":"k"}]}']))  # chunked
    answer = connection.getresponse()
    assert json.loads(answer.read())["results"][0]["value"] == {"i": 9}
    connection.close()


def test_pythons_urllib_works(url):
    request = urllib.request.Request(f"{url}/kv/k", b'"v"', {"Content-Type": "application/json"},
                                     method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 204
    with urllib.request.urlopen(f"{url}/kv/k", timeout=60) as answer:
        assert json.load(answer) == "v" and answer.headers["ETag"].startswith('"')
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/kv/absent", timeout=60)
    assert caught.value.code == 404
    assert json.load(caught.value)["code"] == "no_such_key"


def test_pythons_httpx_works(url):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(timeout=60) as client:
        assert client.put(f"{url}/kv/k", json={"a": 1}).status_code == 204
        answer = client.get(f"{url}/kv/k")
        assert answer.json() == {"a": 1} and answer.http_version == "HTTP/1.1"
        assert client.get(f"{url}/kv", params={"prefix": "k", "limit": 1}).json()["next"] is None


# Node

NODE_HTTP = """
const http = require("http");
const agent = new http.Agent({keepAlive: true, maxSockets: 4});
const url = process.argv[1];
const send = (method, path, body, headers) => new Promise((resolve, reject) => {
    const r = http.request(url + path, {method, agent, headers}, answer => {
        const parts = [];
        answer.on("data", part => parts.push(part));
        answer.on("end", () => resolve({status: answer.statusCode, headers: answer.headers,
                                        text: Buffer.concat(parts).toString()}));
    });
    r.on("error", reject);
    r.end(body);
});
(async () => {
    const puts = await Promise.all([...Array(50).keys()].map(i =>
        send("PUT", `/kv/${i}`, JSON.stringify({i}))));
    const got = await send("GET", "/kv/49");
    const added = await send("POST", "/txn", '{"do":[{"add":"n","by":2}]}', {"Idempotency-Key": "k"});
    const again = await send("POST", "/txn", '{"do":[{"add":"n","by":2}]}', {"Idempotency-Key": "k"});
    const absent = await send("GET", "/kv/absent");
    console.log(JSON.stringify({statuses: [...new Set(puts.map(p => p.status))], got: got.text,
        etag: got.headers.etag, added: added.text, again: again.text,
        replayed: again.headers["idempotency-replayed"], absent: JSON.parse(absent.text).code}));
    agent.destroy();
})();
"""

NODE_FETCH = """
const url = process.argv[1];
(async () => {
    const put = await fetch(url + "/kv/k", {method: "PUT", body: JSON.stringify([1, "é"]),
                                           headers: {"content-type": "application/json"}});
    const got = await fetch(url + "/kv/k");
    const bytes = new Uint8Array([0, 255, 1]);
    await fetch(url + "/kv/b", {method: "PUT", body: bytes,
                                headers: {"content-type": "application/octet-stream"}});
    const back = new Uint8Array(await (await fetch(url + "/kv/b")).arrayBuffer());
    const same = await fetch(url + "/kv/k", {headers: {"if-none-match": got.headers.get("etag")}});
    const gone = await fetch(url + "/kv/k", {method: "DELETE"});
    const text = await fetch(url + "/kv/t", {method: "PUT", body: "plain"});
    const listed = await (await fetch(url + "/kv?" + new URLSearchParams({prefix: "b"}))).json();
    console.log(JSON.stringify({put: put.status, got: await got.json(), back: [...back],
        same: same.status, gone: gone.status, existed: gone.headers.get("dormouse-existed"),
        text: text.status, listed: listed.entries.length}));
})();
"""


def run_node(script, url):
    if shutil.which("node") is None:
        pytest.skip("there is no node")
    return json.loads(run("node", "-e", script, url))


def test_nodes_http_module_works(url):
    got = run_node(NODE_HTTP, url)
    assert got["statuses"] == [204] and got["got"] == '{"i":49}' and got["etag"].startswith('"')
    assert json.loads(got["added"])["results"] == [{"value": 2}]
    assert got["again"] == got["added"] and got["replayed"] == "true"
    assert got["absent"] == "no_such_key"


def test_nodes_fetch_works(url):
    got = run_node(NODE_FETCH, url)
    assert got == {"put": 204, "got": [1, "é"], "back": [0, 255, 1], "same": 304, "gone": 204,
                   "existed": "true", "text": 415, "listed": 1}


def test_h2load_over_http_1_1_is_answered(url):
    if shutil.which("h2load") is None:
        pytest.skip("there is no h2load")
    curl("-X", "PUT", f"{url}/kv/k", "-d", "1")
    out = run("h2load", "--h1", "-n", "5000", "-c", "8", "-m", "8", f"{url}/kv/k").decode()
    assert "5000 succeeded, 0 failed, 0 errored" in out
    assert "status codes: 5000 2xx" in out


