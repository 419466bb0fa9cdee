"""A server for webhooks that answers as it is told, and what it received; and the events of a watch."""

import http.client
import http.server
import json
import queue
import threading
import time
import urllib.parse


def answer(handler, status, **fields):
    """From a function of the handler."""
    handler.send_response(status)
    for name, value in {**fields, "content-length": "0"}.items():
        handler.send_header(name, value)
    handler.end_headers()


class Receiver:
    """`answers` are taken one a request: a status, or a function of the handler; then 200s. One that does
    not listen yet has its port, and refuses connections."""

    def __init__(self, *answers, listens=True):
        self.answers = list(answers)
        self.received = queue.Queue()  # (seconds of the wall clock, path, document, headers)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                reply = receiver.answers.pop(0) if receiver.answers else 200
                receiver.received.put((time.time(), self.path, json.loads(body), self.headers))
                if callable(reply):
                    reply(self)
                else:
                    answer(self, reply)

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, False)
        self.server.daemon_threads = True
        self.server.server_bind()
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.thread = None
        if listens:
            self.listen()

    def listen(self):
        self.server.server_activate()
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def next(self, seconds=30):
        return self.received.get(timeout=seconds)

    def close(self):
        if self.thread is not None:
            self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Watch:
    """A watch of an actor; `next_timer()` is (id, data) of the next timer event."""

    def __init__(self, node, actor_path, since=None, seconds=30):
        parts = urllib.parse.urlsplit(node.url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=seconds)
        query = "" if since is None else f"?since={since}"
        self.connection.request("GET", f"{actor_path}/watch{query}")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200, self.answer.read()

    def next(self):
        """(event, id, data)"""
        event, fields = None, {}
        while True:
            line = self.answer.readline().decode().rstrip("\r\n")
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            elif fields:
                event = fields.get("event")
                return event, fields.get("id"), json.loads(fields.get("data", "null"))

    def next_timer(self):
        while True:
            event, event_id, data = self.next()
            if event == "timer":
                return event_id, data

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
