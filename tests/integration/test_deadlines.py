"""Section 1, 504: a request has a deadline, and says whether it may have acted."""

import threading
import time

import pytest

from client import Actor, Client, expect_problem


@pytest.mark.parametrize("text", ["1", "30000", "600000"])
def test_a_deadline_may_be_given(actor, text):
    assert actor.get("k", dormouse_timeout=text).status in (404, 504)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5", "1e3", "600001", "99999999999999999999", "1 2"])
def test_a_deadline_that_is_none_is_400(actor, text):
    expect_problem(actor.put("k", 1, dormouse_timeout=text), 400, "bad_request")
    expect_problem(actor.get("k", dormouse_timeout=text), 400, "bad_request")
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_a_deadline_that_passes_is_504_and_a_retry_acts_once(shared_node, actor):
    """Writers with 1 ms each, until some were too late: whatever they were told, each counts once."""
    late, keys, wrong = [], [], []
    deadline = time.monotonic() + 60

    def write(seed):
        client = Client(shared_node.url)
        mine = Actor(client, actor.id)
        for i in range(400):
            key = f"{seed}-{i}"
            answer = mine.txn([{"add": "n"}, {"put": "pad", "value": key * 20000}],
                              idempotency_key=key, dormouse_timeout="1")
            keys.append(key)
            if answer.status == 504:
                doc = expect_problem(answer, 504, "timeout", retryable=True,
                                     maybe_applied=answer.json["maybe_applied"])
                late.append(doc["maybe_applied"])
                again = mine.txn([{"add": "n"}, {"put": "pad", "value": key * 20000}],
                                 idempotency_key=key)
                if again.status != 200:
                    wrong.append(again)
            elif answer.status != 200:
                wrong.append(answer)
            if len(late) > 20 or time.monotonic() > deadline:
                break
        client.close()

    while not late and time.monotonic() < deadline:
        threads = [threading.Thread(target=write, args=(len(keys) + n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not wrong
    assert late, "no request was ever late"
    assert actor.get("n").json == len(set(keys))
