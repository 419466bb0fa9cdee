"""Sections 1 and 7: TLS on the one port, certificates that change under a running node, and clients."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess

import pytest

from client import Actor, Client, Watch, connect, wait_until
from node import program
from test_command_line import USAGE, expect_refused, run

DAY = 24 * 60 * 60


class Certificates:
    """Certificates of one CA, made by openssl, as the files of a node."""

    def __init__(self, directory):
        self.directory = directory
        self.ca = self.path("ca.pem")
        self.cert = self.path("cert.pem")
        self.key = self.path("key.pem")
        self._openssl("req", "-x509", *self._new_key("ca-key.pem"), "-out", self.ca, "-days", "2", "-subj",
                      "/CN=test ca", "-addext", "basicConstraints=critical,CA:TRUE",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name):
        return str(self.directory / name)

    def _new_key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(name)]

    @staticmethod
    def _openssl(*arguments):
        if shutil.which("openssl") is None:
            pytest.skip("there is no openssl")
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)

    def issue(self, name, days=1, cert="cert.pem", key="key.pem", names="DNS:localhost,IP:127.0.0.1"):
        """A new pair in place of the old one: each file by a rename, as certificate tools do."""
        self._openssl("req", "-new", *self._new_key("next-key"), "-out", self.path("request"), "-subj",
                      f"/CN={name}")
        (self.directory / "names").write_text(f"subjectAltName={names}\n")
        self._openssl("x509", "-req", "-in", self.path("request"), "-CA", self.ca, "-CAkey",
                      self.path("ca-key.pem"), "-CAcreateserial", "-days", str(days), "-extfile",
                      self.path("names"), "-out", self.path("next-cert"))
        os.replace(self.path("next-cert"), self.path(cert))
        os.replace(self.path("next-key"), self.path(key))

    @property
    def flags(self):
        return ["--tls-cert", self.cert, "--tls-key", self.key]


@pytest.fixture
def certificates(tmp_path):
    directory = tmp_path / "certificates"
    directory.mkdir()
    made = Certificates(directory)
    made.issue("first")
    return made


@pytest.fixture
def secure(start_node, certificates):
    return start_node(*certificates.flags, ca=certificates.ca)


@pytest.fixture
def actor(secure):
    return Actor(secure.client, "a")


def metrics(node):
    lines = Client(node.url, ca=node.ca).get("/metrics").body.decode().splitlines()
    return {name: float(value) for name, value in
            (line.rsplit(" ", 1) for line in lines if line.startswith("dormouse_tls_"))}


def shown_name(node):
    """The name in the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=node.ca)
    with socket.create_connection(("127.0.0.1", node.port), timeout=60) as s:
        with context.wrap_socket(s, server_hostname="localhost") as tls:
            return dict(pair for rdn in tls.getpeercert()["subject"] for pair in rdn)["commonName"]


def curl(node, *arguments):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    out = subprocess.run(["curl", "-sS", "--cacert", node.ca, "-w", "\n%{http_code} %{http_version}",
                          *arguments], capture_output=True, timeout=120, check=True).stdout
    body, _, last = out.rpartition(b"\n")
    status, version = last.decode().split()
    return int(status), version, body


# The port


def test_the_ready_line_says_https(secure):
    assert secure.url == f"https://127.0.0.1:{secure.port}"


@pytest.mark.parametrize("flag, version", [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_agrees_by_alpn_on_what_it_asks_for(secure, actor, tmp_path, flag, version):
    url = secure.url + actor.path
    assert curl(secure, flag, "-X", "PUT", f"{url}/kv/k", "-d", '{"a":1}') == (204, version, b"")
    assert curl(secure, flag, f"{url}/kv/k") == (200, version, b'{"a":1}')
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)
    octets = ["-H", "Content-Type: application/octet-stream"]
    assert curl(secure, flag, "-T", str(tmp_path / "data"), f"{url}/kv/big", *octets)[0] == 204
    assert curl(secure, flag, f"{url}/kv/big") == (200, version, data)


def test_pythons_clients_speak_http_1_and_2(secure, actor):
    assert actor.put("k", [1, 2]).status == 204
    assert actor.get("k").json == [1, 2]
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("h2")
    with httpx.Client(http2=True, verify=secure.ca, timeout=60) as client:
        for _ in range(3):
            answer = client.get(f"{secure.url}{actor.kv('k')}")
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")


def test_many_streams_of_many_connections_are_answered(secure, actor):
    if shutil.which("h2load") is None:
        pytest.skip("there is no h2load")
    actor.put("k", "x" * 1000)
    out = subprocess.run(["h2load", "-n", "4000", "-c", "8", "-m", "16", secure.url + actor.kv("k")],
                         capture_output=True, timeout=120, check=True, text=True).stdout
    assert "4000 succeeded, 0 failed, 0 errored, 0 timeout" in out, out


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_tls_is_refused(secure):
    context = ssl.create_default_context(cafile=secure.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as s:
        with pytest.raises(OSError):
            context.wrap_socket(s, server_hostname="localhost")


def test_bytes_in_the_clear_end_the_connection_and_nobody_elses(secure, actor):
    before = metrics(secure)["dormouse_tls_failures_total"]
    for words in [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                  b"\x16\x03\x01\xff\xff", b"\0" * 100]:
        with connect(secure.url) as s:
            s.sendall(words)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while piece := s.recv(4096):
                    answer += piece
            except ConnectionResetError:
                pass
            assert not answer.startswith(b"HTTP") and len(answer) <= 7, answer
    assert actor.put("k", 1).status == 204
    wait_until(lambda: metrics(secure)["dormouse_tls_failures_total"] == before + 4, what="the count")


def test_tickets_are_good_on_every_worker(start_node, certificates):
    node = start_node("--workers", "3", *certificates.flags, ca=certificates.ca)
    context = ssl.create_default_context(cafile=node.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where Python can offer one at once
    session, resumed = None, 0
    for _ in range(12):
        with socket.create_connection(("127.0.0.1", node.port), timeout=60) as s:
            with context.wrap_socket(s, server_hostname="localhost", session=session) as tls:
                resumed += tls.session_reused
                session = tls.session
                tls.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert tls.recv(4096).startswith(b"HTTP/1.1 200")
    assert resumed == 11
    wait_until(lambda: metrics(node)["dormouse_tls_resumed_total"] == 11, what="the count")


def test_origins_are_compared_with_https(secure):
    own = f"https://127.0.0.1:{secure.port}"
    assert secure.client.get("/healthz", origin=own).status == 200
    assert secure.client.get("/healthz", origin=own.replace("https", "http")).status == 403


# Certificates that change


def test_a_new_certificate_is_taken_while_a_watch_goes_on(secure, actor, certificates):
    assert shown_name(secure) == "first"
    with Watch(actor, secure.url, ca=secure.ca) as watch:
        watch.joined()
        certificates.issue("second")
        wait_until(lambda: shown_name(secure) == "second", what="the new certificate")
        assert actor.put("k", 1).status == 204  # on a connection from before
        event = watch.next()
        assert event.data["key"] == "k", event
    assert Client(secure.url, ca=secure.ca).get("/healthz").status == 200
    assert secure.stderr.count('"event":"tls_certificate"') == 2


def test_sighup_reads_the_files_at_once(secure, certificates):
    expires = metrics(secure)["dormouse_tls_certificate_expires_seconds"]
    certificates.issue("second", days=2)
    os.kill(secure.pid, signal.SIGHUP)
    wait_until(lambda: shown_name(secure) == "second", what="the new certificate")
    wait_until(lambda: metrics(secure)["dormouse_tls_certificate_expires_seconds"] > expires + DAY / 2,
               what="the metric")


def test_files_that_are_no_pair_leave_the_certificate_and_are_told(secure, certificates):
    shutil.copy(certificates.key, certificates.path("old-key"))
    certificates.issue("second")
    shutil.copy(certificates.key, certificates.path("new-key"))
    os.replace(certificates.path("old-key"), certificates.key)
    os.kill(secure.pid, signal.SIGHUP)
    wait_until(lambda: "tls_certificate_kept" in secure.stderr, what="the complaint")
    assert "is not the key of the certificate" in secure.stderr
    assert Client(secure.url, ca=secure.ca).get("/healthz").status == 200
    os.replace(certificates.path("new-key"), certificates.key)
    wait_until(lambda: shown_name(secure) == "second", what="the new certificate")


def test_a_node_with_tls_still_stops_and_starts(secure, actor):
    assert actor.put("k", 1).status == 204
    secure.restart()
    assert Actor(secure.client, "a").get("k").json == 1
    secure.restart(kill=True)
    assert Actor(secure.client, "a").get("k").json == 1


# Refused starts


def refused(tmp_path, *arguments):
    result = run("--data", tmp_path / "data", "--listen", "127.0.0.1:0", *arguments)
    assert not (tmp_path / "data").exists()
    return result


def test_a_wrong_key_is_a_refused_start(tmp_path, certificates):
    certificates.issue("other", cert="other-cert.pem", key="other-key.pem")
    result = refused(tmp_path, "--tls-cert", certificates.cert, "--tls-key",
                     certificates.path("other-key.pem"))
    expect_refused(result, "other-key.pem: is not the key of the certificate in .*cert.pem", USAGE)


def test_half_a_pair_is_a_refused_start(tmp_path, certificates):
    expect_refused(refused(tmp_path, "--tls-cert", certificates.cert), "--tls-key is missing", USAGE)
    expect_refused(refused(tmp_path, "--tls-key", certificates.key), "--tls-cert is missing", USAGE)


def test_a_file_that_is_missing_or_no_certificate_is_a_refused_start(tmp_path, certificates):
    flags = ["--tls-cert", certificates.path("absent"), "--tls-key", certificates.key]
    expect_refused(refused(tmp_path, *flags), "absent: No such file", USAGE)
    flags = ["--tls-cert", certificates.key, "--tls-key", certificates.key]
    expect_refused(refused(tmp_path, *flags), "key.pem: has no certificate in PEM", USAGE)


def test_an_expired_certificate_is_a_refused_start(tmp_path, certificates):
    certificates.issue("late", days=0)  # a time that has come is over
    expect_refused(refused(tmp_path, *certificates.flags), "cert.pem: the certificate has expired on", USAGE)


def test_beyond_loopback_tls_is_not_enough(tmp_path, certificates):
    result = run("--data", tmp_path / "data", "--listen", "0.0.0.0:0", *certificates.flags)
    assert result.returncode == USAGE and result.stdout == "", result
    assert "beyond loopback a node needs tokens" in result.stderr.splitlines()[-1], result


def test_with_tls_and_tokens_a_node_listens_on_every_address(start_node, certificates):
    node = start_node(*certificates.flags, ca=certificates.ca)
    token = dormouse(node, "token", "create", "--namespace", "*", "--scope", "call,admin", "--ca",
                     certificates.ca).strip()
    node.stop()
    node.options += ["--listen", "0.0.0.0:0"]
    node.start()
    assert node.url == f"https://0.0.0.0:{node.port}"
    url = f"https://127.0.0.1:{node.port}"
    assert Client(url, ca=node.ca).get("/v1/app/Store/a").status == 401
    dormouse(node, "put", "app/Store/a", "k", "1", "--ca", node.ca, url=url, DORMOUSE_TOKEN=token)


# The command line


def dormouse(node, *arguments, url=None, code=0, **environment):
    path = os.path.join(os.path.dirname(program()), "dormouse")
    done = subprocess.run([path, "--url", url or node.url, *arguments], capture_output=True, timeout=60,
                          env={**os.environ, **environment}, check=False, text=True)
    assert done.returncode == code, done
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize("version", [[], ["--http2"]], ids=["http1", "http2"])
def test_the_command_line_speaks_tls(secure, version):
    key = ["app/Store/a", "k"]
    dormouse(secure, "put", *key, "1", "--ca", secure.ca, *version)
    assert dormouse(secure, "get", *key, *version, DORMOUSE_CA=secure.ca) == "1\n"
    for _ in range(2):
        assert json.loads(dormouse(secure, "--json", "get", *key, "--ca", secure.ca, *version))["value"] == 1


def test_the_command_line_says_why_it_does_not_trust(secure, tmp_path):
    get = ["get", "app/Store/a", "k"]
    said = dormouse(secure, *get, code=5)
    assert said.startswith("dormouse: untrusted: SSL certificate problem"), said
    said = dormouse(secure, *get, "--ca", str(tmp_path / "absent"), code=5)
    assert "untrusted" in said and "absent" in said
    said = dormouse(secure, *get, "--ca", secure.ca, code=5,
                    url=f"https://other.localhost:{secure.port}")
    assert "untrusted" in said and "other.localhost" in said


def test_the_command_line_says_that_http_and_https_were_mixed_up(secure, shared_node):
    get = ["get", "app/Store/a", "k"]
    said = dormouse(shared_node, *get, url=shared_node.url.replace("http:", "https:"), code=5)
    assert "does not speak TLS" in said
    said = dormouse(secure, *get, "--deadline", "1s", url=secure.url.replace("https:", "http:"), code=5)
    assert "https://" in said


def test_a_hello_of_tls_in_the_clear_is_answered_at_once(shared_node):
    with connect(shared_node.url) as s:
        s.sendall(b"\x16\x03\x01\x02\x00")
        response = http.client.HTTPResponse(s)
        response.begin()
        assert response.status == 400
        assert b"TLS" in response.read()


# Certificates of a cluster


def certs(*arguments, code=0, cwd=None):
    path = os.path.join(os.path.dirname(program()), "dormouse")
    done = subprocess.run([path, *arguments], capture_output=True, timeout=60, check=False, text=True,
                          cwd=cwd)
    assert done.returncode == code, done
    return done.stdout if code == 0 else done.stderr


def test_a_cluster_gets_its_ca_once_and_each_node_its_certificate(tmp_path):
    first = json.loads(certs("cluster", "certs", "--dir", "c", "--node-id", "1", "--json", cwd=tmp_path))
    assert first["new"] is True and first["node"] == 1 and first["dir"] == "c"
    said = certs("cluster", "certs", "--dir", "c", "--node-id", "2", "--host", "db2.example", "--host",
                 "10.0.0.2", cwd=tmp_path)
    assert said.startswith(f"the cluster {first['cluster']}; node 2 has its certificate in c/node-2 until ")
    made = sorted(str(p.relative_to(tmp_path / "c")) for p in (tmp_path / "c").rglob("*") if p.is_file())
    assert made == ["ca-key.pem", "ca.pem"] + [
        f"node-{n}/{name}" for n in (1, 2) for name in ("ca.pem", "node-key.pem", "node.pem")]
    for name in made:
        mode = (tmp_path / "c" / name).stat().st_mode & 0o777
        assert mode == (0o600 if "key" in name else 0o644), name
    if shutil.which("openssl"):
        for n in (1, 2):
            node = tmp_path / "c" / f"node-{n}" / "node.pem"
            for purpose in "sslserver", "sslclient":
                subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile",
                                str(tmp_path / "c" / "ca.pem"), str(node)], check=True, timeout=60)
        text = subprocess.run(["openssl", "x509", "-in", str(node), "-noout", "-ext", "subjectAltName"],
                              check=True, capture_output=True, timeout=60, text=True).stdout
        assert f"URI:dormouse://{first['cluster']}/node/2" in text
        assert "DNS:db2.example" in text and "IP Address:10.0.0.2" in text


def test_mistakes_in_making_certificates_are_told(tmp_path):
    make = ["cluster", "certs", "--dir", str(tmp_path / "c")]
    assert "--node-id" in certs(*make, code=2)
    assert "--node-id" in certs(*make, "--node-id", "0", code=2)
    assert "a b" in certs(*make, "--node-id", "1", "--host", "a b", code=2)
    assert not (tmp_path / "c").exists()
    certs(*make, "--node-id", "1")
    assert "--renew" in certs(*make, "--node-id", "1", code=2)
    certs(*make, "--node-id", "1", "--renew")


def test_a_nodes_certificate_serves_clients_too(start_node, tmp_path):
    certs("cluster", "certs", "--dir", str(tmp_path / "c"), "--node-id", "1", "--host", "127.0.0.1")
    files = tmp_path / "c" / "node-1"
    node = start_node("--tls-cert", str(files / "node.pem"), "--tls-key", str(files / "node-key.pem"),
                      ca=str(files / "ca.pem"))
    assert node.client.put("/v1/app/Store/a/kv/k", "1").status == 204
