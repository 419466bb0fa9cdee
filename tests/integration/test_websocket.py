"""Section 4: WebSockets that a class accepts, awake and asleep."""

import itertools
import json
import socket
import ssl
import threading

import pytest
import websocket

from client import Actor, connect as connect_tcp, expect_problem, wait_until
from cluster import command
from test_classes import deploy
from test_cluster import make_cluster, three  # noqa: F401  (fixtures)
from test_tls import certificates  # noqa: F401  (a fixture)

ECHO = """
import { DurableObject } from "cloudflare:workers";
export class Echo extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    this.born = ctx.getWebSockets().length;
  }
  async fetch(request) {
    const url = new URL(request.url);
    if (request.headers.get("Upgrade") !== "websocket") return new Response(`plain ${url.pathname}`);
    if (url.pathname === "/refuse") return new Response("not you", { status: 403 });
    if (url.pathname === "/throw") throw new Error("no sockets today");
    const [client, server] = Object.values(new WebSocketPair());
    const tags = url.searchParams.getAll("tag");
    if (url.pathname === "/standard") {
      server.accept();
      server.addEventListener("message", (event) => server.send(`standard ${event.data}`));
      server.addEventListener("close", (event) => server.close(event.code));
    } else {
      this.ctx.acceptWebSocket(server, tags);
      server.serializeAttachment({ path: url.pathname, tags });
    }
    server.send(`hello ${url.pathname}`);
    const protocol = request.headers.get("sec-websocket-protocol")?.split(",")[0].trim();
    const headers = { "x-class": "Echo", ...(protocol && { "sec-websocket-protocol": protocol }) };
    return new Response(null, { status: 101, webSocket: client, headers });
  }
  async webSocketMessage(socket, message) {
    if (typeof message !== "string") { socket.send(message); return; }
    const [verb, ...rest] = message.split(" ");
    if (verb === "put") { this.ctx.storage.put("last", rest[0]); socket.send(`put ${rest[0]}`); return; }
    if (verb === "get") { socket.send(`got ${await this.ctx.storage.get("last")}`); return; }
    if (verb === "attachment") { socket.send(JSON.stringify(socket.deserializeAttachment())); return; }
    if (verb === "tags") { socket.send(JSON.stringify(this.ctx.getTags(socket))); return; }
    if (verb === "born") { socket.send(String(this.born)); return; }
    if (verb === "tagged") {
      for (const other of this.ctx.getWebSockets(rest[0])) other.send(`for ${rest[0]}`);
      return;
    }
    if (verb === "auto") { socket.send(String(+this.ctx.getWebSocketAutoResponseTimestamp(socket) > 0)); return; }
    if (verb === "close") { socket.close(4001, "as you like"); return; }
    if (verb === "throw") throw new Error("thrown");
    if (verb === "die") this.ctx.abort("enough");
    if (verb === "many") { for (let i = 0; i < +rest[0]; i++) socket.send(`${i}`); return; }
    if (verb === "spin") for (;;);
    socket.send(message);
  }
  async webSocketClose(socket, code, reason, wasClean) {
    const closes = (await this.ctx.storage.get("closes")) ?? [];
    await this.ctx.storage.put("closes", [...closes, [code, reason, wasClean]]);
    if (reason !== "leave me") socket.close(code === 1005 || code === 1006 ? 1000 : code, "bye");
  }
  async closes() { return (await this.ctx.storage.get("closes")) ?? []; }
  count() { return this.ctx.getWebSockets().length; }
  broadcast(text) { for (const one of this.ctx.getWebSockets()) one.send(text); }
  async closeAll() { for (const one of this.ctx.getWebSockets()) one.close(1001, "all go"); }
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (url.pathname.startsWith("/room/")) return env.Echo.getByName(url.pathname.slice(6)).fetch(request);
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", (event) => server.send(`module ${event.data}`));
    return new Response(null, { status: 101, webSocket: client });
  },
};
"""

SECONDS = 30

# Of IANA's registry, which this client's list is older than.
websocket._abnf.VALID_CLOSE_STATUS = (*websocket._abnf.VALID_CLOSE_STATUS, 1012, 1013)

_numbers = itertools.count(1)


class Echo(Actor):
    def __init__(self, node, actor_id, namespace="app"):
        super().__init__(node.client, actor_id, namespace, "Echo")
        self.url = node.url

    def call(self, method, *arguments):
        answer = self.client.post(f"{self.path}/call/{method}", json=list(arguments))
        assert answer.status == 200, answer
        return answer.json["result"]

    def connect(self, path="", **more):
        return connect(self.url, f"{self.path}/ws{path}", **more)

    def opened(self, path="", **more):
        """One that has heard its greeting."""
        one = self.connect(path, **more)
        assert one.recv() == "hello " + (path.partition("?")[0] or "/")
        return one

    def sleep(self):
        wait_until(lambda: self.client.post(self.path + "/hibernate").status == 204 and self.state == "hibernated",
                   what="sleep")

    @property
    def state(self):
        return self.info().json["state"]


def connect(url, path, **more):
    return websocket.create_connection(url.replace("http", "ws", 1) + path, timeout=SECONDS, **more)


@pytest.fixture
def echo(shared_node):
    namespace = f"sockets-{next(_numbers)}"
    assert deploy(shared_node.client, ECHO, namespace).status == 200
    return Echo(shared_node, "a", namespace)


def refused(actor, path, **more):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        actor.connect(path, **more)
    return caught.value


def closed(one):
    """The code and reason of the close frame that comes next."""
    opcode, data = one.recv_data()
    assert opcode == websocket.ABNF.OPCODE_CLOSE
    return int.from_bytes(data[:2], "big") if data else None, data[2:].decode()


# Opening


def test_a_class_accepts_a_socket_and_hears_what_the_client_says(echo):
    one = echo.opened()
    one.send("what I say")
    assert one.recv() == "what I say"
    one.send_binary(bytes(range(256)))
    assert one.recv() == bytes(range(256))
    one.close()


def test_the_path_behind_ws_and_its_query_are_the_requests(echo):
    one = echo.opened("/deep/er?tag=x&tag=y")
    one.send("attachment")
    assert json.loads(one.recv()) == {"path": "/deep/er", "tags": ["x", "y"]}
    one.send("tags")
    assert json.loads(one.recv()) == ["x", "y"]
    one.close()


def test_fetch_with_an_upgrade_is_the_same(echo):
    one = connect(echo.url, f"{echo.path}/fetch/by/fetch")
    assert one.recv() == "hello /by/fetch"
    one.close()


def test_the_answers_fields_and_a_subprotocol_reach_the_client(echo):
    one = echo.connect(subprotocols=["chat", "other"])
    assert one.headers["x-class"] == "Echo"
    assert one.subprotocol == "chat"
    one.close()


def test_the_class_may_refuse_with_any_answer(echo):
    assert refused(echo, "/refuse").status_code == 403
    assert echo.call("count") == 0


def test_a_class_that_throws_is_its_exception(echo):
    assert refused(echo, "/throw").status_code == 500


def test_ws_without_an_upgrade_is_400(echo):
    expect_problem(echo.client.get(f"{echo.path}/ws"), 400, "bad_request")
    expect_problem(echo.client.post(f"{echo.path}/ws"), 405, "method_not_allowed")


def test_a_class_without_a_fetch_takes_no_sockets(shared_node):
    namespace = f"sockets-{next(_numbers)}"
    source = 'import { DurableObject } from "cloudflare:workers"; export class Echo extends DurableObject {}'
    assert deploy(shared_node.client, source, namespace).status == 200
    assert refused(Echo(shared_node, "a", namespace), "").status_code == 404


def test_a_modules_socket_is_its_own_or_an_actors(echo):
    path = f"/w/{echo.path.split('/')[2]}"
    own = connect(echo.url, path + "/here")
    own.send("x")
    assert own.recv() == "module x"
    own.close()
    passed_on = connect(echo.url, path + "/room/a")
    assert passed_on.recv() == "hello /room/a"
    passed_on.send("born")
    assert passed_on.recv() == "0"
    assert echo.call("count") == 1
    passed_on.close()
    wait_until(lambda: echo.call("count") == 0, what="the end")


# Talking


def test_what_is_said_leaves_once_the_writes_before_it_are_durable(echo):
    one = echo.opened()
    for n in range(50):
        one.send(f"put {n}")
        assert one.recv() == f"put {n}"
        assert echo.get("last").json == str(n)
    one.close()


def test_messages_keep_their_order_both_ways(echo):
    one = echo.opened()
    for n in range(500):
        one.send(f"say {n}")
    assert [one.recv() for _ in range(500)] == [f"say {n}" for n in range(500)]
    one.send("many 5000")
    assert [one.recv() for _ in range(5000)] == [str(n) for n in range(5000)]
    one.close()


def test_large_messages_go_both_ways(echo):
    one = echo.opened()
    data = bytes(range(256)) * (4 * 4096)  # 4 MiB
    one.send_binary(data)
    assert one.recv() == data
    one.close()


def test_a_message_over_the_bound_closes_with_1009(echo):
    one = echo.opened()
    with pytest.raises((websocket.WebSocketException, OSError)):
        one.send_binary(bytes(33 * 2**20))
        while True:
            code, _ = closed(one)
            assert code == 1009
            raise websocket.WebSocketException("as it should")
    wait_until(lambda: echo.call("count") == 0, what="the end")


def test_sockets_are_found_by_their_tags(echo):
    both, one, none = echo.opened("?tag=a&tag=b"), echo.opened("?tag=a"), echo.opened()
    none.send("tagged a")
    assert both.recv() == one.recv() == "for a"
    none.send("tagged b")
    assert both.recv() == "for b"
    none.send("tagged c")
    none.send("still here")
    assert none.recv() == "still here"
    for each in [both, one, none]:
        each.close()


def test_an_actor_speaks_to_its_sockets_from_any_event(echo):
    these = [echo.opened() for _ in range(5)]
    echo.call("broadcast", "news")
    assert [one.recv() for one in these] == ["news"] * 5
    for one in these:
        one.close()


def test_a_standard_accept_has_events(echo):
    one = echo.opened("/standard")
    one.send("x")
    assert one.recv() == "standard x"
    assert echo.call("count") == 0, "getWebSockets shows hibernatable ones alone"
    one.close()


# Closing


def test_a_close_reaches_the_handler_and_its_answer_the_client(echo):
    one = echo.opened()
    one.send_close(4321, b"I go")
    assert closed(one) == (4321, "bye")
    assert echo.call("closes") == [[4321, "I go", True]]
    assert echo.call("count") == 0


def test_a_close_that_the_handler_does_not_answer_is_answered(echo):
    one = echo.opened()
    one.send_close(1000, b"leave me")
    assert closed(one) == (1000, "")


def test_a_client_that_vanishes_is_a_close_that_was_not_clean(echo):
    one = echo.opened()
    one.shutdown()
    wait_until(lambda: [c[0] for c in echo.call("closes")] == [1006], what="the close")
    assert echo.call("closes")[0][2] is False
    assert echo.call("count") == 0


def test_the_class_closes_with_its_code_and_reason(echo):
    one = echo.opened()
    one.send("close")
    assert closed(one) == (4001, "as you like")
    these = [echo.opened() for _ in range(3)]
    echo.call("closeAll")
    assert [closed(each) for each in these] == [(1001, "all go")] * 3


def test_what_breaks_the_protocol_is_closed_and_the_class_hears_of_it(echo):
    one = echo.opened()
    one.sock.sendall(bytes([0x81, 0x82, 0, 0, 0, 0, 0xFF, 0xFE]))  # no UTF-8
    assert closed(one)[0] == 1007
    wait_until(lambda: echo.call("count") == 0, what="the end")


# Sleep


def test_a_socket_stays_open_while_its_actor_sleeps(echo):
    one, other = echo.opened("?tag=one"), echo.opened("/other")
    echo.sleep()
    one.send("ping")
    assert one.recv() == "pong" and echo.state == "hibernated", "it was answered for it"
    one.send("born")
    assert one.recv() == "2", "its constructor saw both"
    one.send("tags")
    assert json.loads(one.recv()) == ["one"]
    other.send("attachment")
    assert json.loads(other.recv())["path"] == "/other"
    one.send("auto")
    assert one.recv() == "true"
    one.close()
    other.close()


def test_a_close_wakes_the_actor(echo):
    one = echo.opened()
    echo.sleep()
    one.send_close(1000, b"while you slept")
    assert closed(one) == (1000, "bye")
    assert echo.call("closes") == [[1000, "while you slept", True]]


def test_sockets_move_to_a_new_version_of_the_class(echo):
    one = echo.opened()
    source = ECHO.replace('socket.send(message);\n  }', 'socket.send(`new ${message}`);\n  }')
    assert source != ECHO
    assert deploy(echo.client, source, echo.path.split("/")[2]).status == 200
    one.send("x")
    assert one.recv() == "new x"
    one.close()


# Failure


def test_an_exception_in_a_handler_leaves_the_socket_open(echo):
    one = echo.opened()
    one.send("throw")
    one.send("after")
    assert one.recv() == "after"
    one.close()


def test_a_message_whose_isolate_died_closes_its_socket_and_no_other(echo):
    one, other = echo.opened(), echo.opened()
    one.send("die")
    assert closed(one)[0] == 1012
    other.send("alive")
    assert other.recv() == "alive"
    other.close()


def test_a_standard_socket_ends_with_its_isolate(echo):
    standard, other = echo.opened("/standard"), echo.opened()
    other.send("die")
    assert closed(standard)[0] == 1012
    assert closed(other)[0] == 1012


def test_a_node_that_stops_says_so(start_node):
    node = start_node()
    assert deploy(node.client, ECHO).status == 200
    one = Echo(node, "a").opened()
    stopping = threading.Thread(target=node.stop)
    stopping.start()
    assert closed(one)[0] == 1012
    one.close()
    stopping.join()


def test_execute_cannot_touch_the_sockets_of_its_actor(echo):
    one = echo.opened()
    code = "async (input, api) => typeof api.getWebSockets + typeof globalThis.getWebSockets"
    answer = echo.client.post(f"{echo.path}/execute", json={"code": code, "grants": {"storage": "write"}})
    assert answer.json["result"] == "undefinedundefined"
    one.send("still here")
    assert one.recv() == "still here"
    one.close()


# Many


def test_hundreds_of_sockets_of_one_actor_all_hear_a_broadcast(echo):
    these = [echo.opened() for _ in range(300)]
    echo.call("broadcast", "all of you")
    assert {one.recv() for one in these} == {"all of you"}
    for one in these:
        one.send("each")
    assert {one.recv() for one in these} == {"each"}
    for one in these:
        one.shutdown()
    wait_until(lambda: echo.call("count") == 0, what="all to leave")


def test_sockets_of_actors_on_all_workers(start_node):
    node = start_node("--workers", "2")
    assert deploy(node.client, ECHO).status == 200
    these = [Echo(node, f"a{n}").opened() for n in range(20)]
    for n, one in enumerate(these):
        one.send(f"to {n}")
        assert one.recv() == f"to {n}"
        one.close()


# Other ways to it


def test_a_socket_under_tls(start_node, certificates):  # noqa: F811
    node = start_node(*certificates.flags, ca=certificates.ca)
    assert deploy(node.client, ECHO).status == 200
    one = Echo(node, "a").opened("/tls", origin=node.url, sslopt={"ca_certs": certificates.ca})
    one.send("x")
    assert one.recv() == "x"
    one.close()


class Http2Socket:
    """A WebSocket in a stream of HTTP/2 (RFC 8441)."""

    def __init__(self, actor, path, below="/ws"):
        connection = pytest.importorskip("h2.connection")
        self.events = pytest.importorskip("h2.events")
        self.stream = connect_tcp(actor.url, SECONDS)
        self.h2 = connection.H2Connection()
        self.h2.initiate_connection()
        self.data, self.headers = b"", None
        self.flush()
        wait_for = lambda: self.h2.remote_settings.enable_connect_protocol
        while not wait_for():
            self.hear()
        self.h2.send_headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                 (":authority", "localhost"), (":path", f"{actor.path}{below}{path}"),
                                 ("sec-websocket-version", "13")])
        self.flush()
        while self.headers is None:
            self.hear()

    def flush(self):
        self.stream.sendall(self.h2.data_to_send())

    def hear(self):
        received = self.stream.recv(65536)
        assert received, "the connection has ended"
        for event in self.h2.receive_data(received):
            if isinstance(event, self.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, self.events.DataReceived):
                self.data += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
        self.flush()

    def send(self, text):
        frame = websocket.ABNF.create_frame(text, websocket.ABNF.OPCODE_TEXT)
        self.h2.send_data(1, frame.format())
        self.flush()

    def recv(self):
        """A short message: of less than 126 bytes."""
        while len(self.data) < 2 or len(self.data) < 2 + self.data[1]:
            self.hear()
        end = 2 + self.data[1]
        message, self.data = self.data[2:end], self.data[end:]
        return message.decode()


def test_a_socket_in_a_stream_of_http2(echo):
    one = Http2Socket(echo, "/h2?tag=t")
    status = {k.decode() if isinstance(k, bytes) else k: v for k, v in one.headers.items()}[":status"]
    assert status in (b"200", "200")
    assert one.recv() == "hello /h2"
    one.send("tags")
    assert json.loads(one.recv()) == ["t"]
    one.stream.close()
    wait_until(lambda: echo.call("count") == 0, what="the end")


# Clusters


def elsewhere(cluster, number):
    """The ids of actors, and how many, that others than this node own."""
    def owner(i):
        return Actor(cluster.nodes[number].client, f"a{i}", "app", "Echo").info().json["owner"]
    return [f"a{i}" for i in range(24) if owner(i) != number][:6]


def test_sockets_reach_actors_of_other_nodes_and_follow_them(three):  # noqa: F811
    node = three.nodes[1]
    assert deploy(node.client, ECHO).status == 200
    actors = [Echo(node, name) for name in elsewhere(three, 1)]
    assert len(actors) > 2
    ones = [actor.opened("?tag=moved") for actor in actors]
    for n, one in enumerate(ones):
        one.send(f"put {n}")
        assert one.recv() == f"put {n}"
    for drained in [2, 3]:
        command("cluster", "drain", drained, "--wait", url=node.url)
        for n, one in enumerate(ones):
            one.send("get")
            assert one.recv() == f"got {n}", (drained, n)
            one.send("tags")
            assert json.loads(one.recv()) == ["moved"]
        command("cluster", "undrain", drained, url=node.url)
    for actor, one in zip(actors, ones):
        wait_until(lambda a=actor: a.call("count") == 1, what="the socket's way to its owner")
        actor.call("broadcast", "here")
        assert one.recv() == "here"
        one.close()


def test_a_socket_whose_actors_owner_is_killed_is_told_to_connect_anew(three):  # noqa: F811
    """What it said last may be lost with it; all others are as they were."""
    node = three.nodes[1]
    assert deploy(node.client, ECHO).status == 200
    actors = [Echo(node, name) for name in elsewhere(three, 1)]
    owners = [actor.info().json["owner"] for actor in actors]
    assert set(owners) == {2, 3}
    ones = [actor.opened() for actor in actors]
    three.nodes[2].kill9()
    for actor, one, owner in zip(actors, ones, owners):
        if owner == 2:
            assert closed(one)[0] == 1012
            one = actor.opened()
        one.send("x")
        assert one.recv() == "x"
        one.close()


# Tokens


def test_a_socket_ends_with_its_token(start_node):
    node = start_node()
    assert deploy(node.client, ECHO).status == 200
    made = node.client.post("/admin/v1/tokens", json={"namespace": "*", "scopes": ["admin", "call", "deploy", "inspect"]})
    assert made.status == 201, made
    admin = {"Authorization": f"Bearer {made.json['token']}"}
    made = node.client.post("/admin/v1/tokens", json={"namespace": "*", "scopes": ["call"]}, headers=admin)
    assert made.status == 201, made
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        Echo(node, "a").connect()
    assert refusal.value.status_code == 401
    one = Echo(node, "a").opened(header=[f"Authorization: Bearer {made.json['token']}"])
    other = Echo(node, "a").opened(header=[f"Authorization: {admin['Authorization']}"])
    assert node.client.delete(f"/admin/v1/tokens/{made.json['id']}", headers=admin).status == 204
    assert closed(one) == (1008, "The token holds no more.")
    other.send("still here")
    assert other.recv() == "still here"
    other.close()
