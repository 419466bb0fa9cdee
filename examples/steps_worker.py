#!/usr/bin/env python3
"""A job that must be done once, by a worker in any language: here Python, with nothing but its standard library.

It drafts a letter, waits until somebody approves it, reminds when that takes long, and sends it. Run as many workers as
you like and kill them when you like: each step's result is kept by the node, and no two workers run it.

    examples/steps_worker.py [URL of the node] [id of the job] [seconds until it reminds]
    curl -X PUT http://127.0.0.1:7420/v1/examples/Store/job-1/kv/approval -d '{"by":"ann"}'
"""
import json
import sys
import time
import urllib.error
import urllib.request

NODE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7420"
JOB = f"{NODE}/v1/examples/Store/{sys.argv[2] if len(sys.argv) > 2 else 'job-1'}"
REMIND_MS = int(1000 * float(sys.argv[3] if len(sys.argv) > 3 else 3600))
LEASE_MS = 30000


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(JOB + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        if problem["code"] in ("no_such_key", "no_such_timer"):
            return None
        raise SystemExit(f"{method} {path}: {problem['detail']}") from None


def step(name, work):
    """The step's output, whoever has run it. An attempt that dies is over when its lease is."""
    while True:
        told = ask("POST", f"/steps/{name}", {"lease_ms": LEASE_MS})
        if told["state"] == "done":
            return told["output"]
        if told["state"] == "failed":
            raise SystemExit(f"{name} has failed: {told['error']}")
        if told["state"] == "busy":
            time.sleep(min(told["retry_after_ms"], 1000) / 1000)
            continue
        try:
            output = work()
        except Exception as error:  # in two seconds somebody tries again
            ask("PUT", f"/steps/{name}", {"lease": told["lease"], "error": str(error), "retry_in_ms": 2000})
            continue
        ask("PUT", f"/steps/{name}", {"lease": told["lease"], "output": output})
        return output


def events():
    """Those of the job from the beginning on, as lines of server-sent events come."""
    name = None
    with urllib.request.urlopen(f"{JOB}/watch?since=0", timeout=60) as stream:
        for line in stream:
            field, _, text = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = text
            elif field == "data":
                yield name, json.loads(text)


def approval():
    """Who approved it. The timer's event comes in the same stream."""
    if ask("GET", "/timers/reminder") is None and ask("GET", "/kv/approval") is None:
        ask("PUT", "/timers/reminder", {"in": REMIND_MS, "payload": "the letter waits for you"})
    for name, data in events():
        if name == "put" and data["key"] == "approval":
            ask("DELETE", "/timers/reminder")
            return data["value"]["by"]
        if name == "timer":
            print(f"reminder: {data['payload']}", flush=True)
    raise SystemExit("the stream ended")


def main():
    draft = step("draft", lambda: {"text": "Dear reader"})
    by = approval()
    sent = step("send", lambda: {"text": draft["text"], "approved_by": by})
    print(f"sent: {sent['text']}, approved by {sent['approved_by']}")


if __name__ == "__main__":
    main()
