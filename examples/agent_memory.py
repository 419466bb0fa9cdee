#!/usr/bin/env python3
"""An agent's memory on Dormouse, with nothing but Python's standard library.

Run it twice, or kill it in between: the conversation goes on, the tool is called once.

    examples/agent_memory.py [URL of the node] [id of the agent]
"""
import json
import sys
import urllib.error
import urllib.request

NODE = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7420"
AGENT = f"{NODE}/v1/examples/Store/{sys.argv[2] if len(sys.argv) > 2 else 'agent-1'}"


def ask(method, path, body=None, **headers):
    """One request; the answer as Python values. A refusal is an exception that says why."""
    data = None if body is None else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(AGENT + path, data, headers, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text else None
    except urllib.error.HTTPError as refused:
        problem = json.load(refused)
        if problem["code"] == "no_such_key":
            return None
        raise SystemExit(f"{method} {path}: {problem['detail']}") from None


def remember(*messages):
    """Appends to the conversation and counts, as one step."""
    ask("POST", "/txn", {"do": [{"append": "conversation", "items": list(messages)},
                                {"add": "turns"}]})


def once(name, work):
    """Runs a step that must not run twice, whoever else tries and whenever it crashes."""
    step = ask("POST", f"/steps/{name}", {"lease_ms": 60000})
    if step["state"] == "run":
        ask("PUT", f"/steps/{name}", {"lease": step["lease"], "output": work()})
        step = ask("POST", f"/steps/{name}", {})
    return step["output"]


def main():
    if ask("GET", "/kv/plan") is None:
        ask("PUT", "/kv/plan", {"goal": "greet", "done": False}, If_None_Match="*")
    remember({"role": "user", "content": "What is the weather in Rome?"})
    weather = once("look-up-weather", lambda: {"city": "Rome", "sky": "clear"})
    remember({"role": "tool", "content": weather},
             {"role": "assistant", "content": f"The sky over {weather['city']} is {weather['sky']}."})

    # The plan is changed only if it is still the one that was read.
    ask("POST", "/txn", {"if": [{"key": "plan", "exists": True}],
                         "do": [{"put": "plan", "value": {"goal": "greet", "done": True}}]},
        Idempotency_Key="plan-done")

    conversation = ask("GET", "/kv/conversation")
    print(f"{ask('GET', '/kv/turns')} turns, {len(conversation)} messages, the last:",
          conversation[-1]["content"])


if __name__ == "__main__":
    main()
