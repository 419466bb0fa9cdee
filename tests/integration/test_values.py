"""Section 1, values: JSON and msgpack, and what each shows of the other."""

import base64
import json
import math

import pytest

from client import expect_problem
from pack import pack, unpack

MSGPACK = "application/msgpack"

PLAIN = [
    None, True, False, 0, 1, -1, 127, 128, -32, -33, 255, 256, -128, -129, 65535, 65536, -32768,
    2**31 - 1, 2**31, -2**31, 2**32, 2**53 + 1, -2**53 - 1, 2**63 - 1, 2**63, 2**64 - 1, -2**63,
    0.0, -0.0, 1.0, 1.5, -1e-300, 1e300, 5e-324, 0.1, 1 / 3, math.pi, "", "a", "é", "日本語", "😀",
    "\x00\x1f\"\\/\x7f", "a" * 31, "a" * 32, "a" * 256, "a" * 70000, [], [[]], {}, {"": 0},
    {"a": [1, {"b": None}]}, list(range(100)), {f"k{i}": i for i in range(100)},
    {"a\x00b": 1, "é": 2}, [1, "a", None, True, 1.5, {"x": [[]]}],
]


def same(a, b):
    """Equal, and of one type all the way down; -0.0 is not 0.0."""
    if isinstance(a, float) and isinstance(b, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("value", PLAIN, ids=lambda v: repr(v)[:24])
def test_a_value_is_the_same_in_json_and_msgpack(actor, value):
    assert actor.put("j", value).status == 204
    put = actor.client.put(actor.kv("m"), pack(value), content_type=MSGPACK)
    assert put.status == 204
    for key in "j", "m":
        answer = actor.get(key)
        assert answer.type == "application/json"
        assert same(answer.json, value)
        answer = actor.get(key, accept=MSGPACK)
        assert answer.type == MSGPACK
        assert same(unpack(answer.body), value)


def test_integers_are_exact_to_both_ends(actor):
    for text in ["-9223372036854775808", "18446744073709551615", "9007199254740993"]:
        assert actor.client.put(actor.kv("n"), text).status == 204
        assert actor.get("n").body == text.encode()


@pytest.mark.parametrize("text", ["18446744073709551616", "-9223372036854775809", "1" + "0" * 400])
def test_an_integer_beyond_64_bits_is_400(actor, text):
    for body in [text, f"[{text}]", f'{{"a":{text}}}']:
        expect_problem(actor.client.put(actor.kv("n"), body), 400, "invalid_value")
    expect_problem(actor.get("n"), 404, "no_such_key")


def test_a_float_stays_a_float(actor):
    for text in ["1.0", "-0.0", "1e2", "1E+2", "100.0"]:
        actor.client.put(actor.kv("f"), text)
        assert isinstance(actor.get("f").json, float), text
        assert actor.get("f").json == float(text)


@pytest.mark.parametrize("body", [
    "", " ", "nul", "tru", "{", "[1,]", "[1 2]", "{1:2}", '{"a"}', '{"a":1,}', "01", "+1", "1.", ".5",
    "0x10", "NaN", "Infinity", "'a'", '"a', '"\\x"', '"\t"', "1 2", "[] []", "// c\n1", "\ufeff1"])
def test_a_body_that_is_not_json_is_400(actor, body):
    expect_problem(actor.client.put(actor.kv("k"), body), 400, "bad_request")


@pytest.mark.parametrize("body", [b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'{"\xff":1}'])
def test_json_that_is_not_utf8_is_400(actor, body):
    assert actor.client.put(actor.kv("k"), body).status == 400
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_half_a_surrogate_pair_is_400(actor):
    expect_problem(actor.client.put(actor.kv("k"), '"\\ud800"'), 400, "invalid_value")


@pytest.mark.parametrize("body", [
    b"", b"\xc1", b"\xd9", b"\xd9\x05ab", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91",
    b"\x01\x02", b"\xa1\xff", b"\x81\xa1a", b"\xc7\x01\x7f\x00", b"\xc6\xff\xff\xff\xff"])
def test_a_body_that_is_not_msgpack_is_400(actor, body):
    answer = actor.client.put(actor.kv("k"), body, content_type=MSGPACK)
    assert answer.status == 400 and answer.json["code"] in ("bad_request", "invalid_value"), answer
    expect_problem(answer, 400, answer.json["code"])
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_a_number_out_of_a_doubles_range_is_400(actor):
    expect_problem(actor.client.put(actor.kv("k"), "1e400"), 400, "invalid_value")


def nested(depth, kind="array"):
    if kind == "array":
        return "[" * depth + "]" * depth
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("kind", ["array", "map"])
def test_a_value_nests_at_most_32_deep(actor, kind):
    assert actor.client.put(actor.kv("k"), nested(32, kind)).status == 204
    assert actor.get("k").body.decode() == nested(32, kind)
    for depth in [33, 34, 40, 1000, 100000]:
        expect_problem(actor.client.put(actor.kv("k"), nested(depth, kind)), 400, "invalid_value")
    deep = pack(json.loads(nested(32, kind)))
    assert actor.client.put(actor.kv("m"), deep, content_type=MSGPACK).status == 204
    deep = b"\x91" * 33 + b"\xc0"
    expect_problem(actor.client.put(actor.kv("m"), deep, content_type=MSGPACK), 400,
                   "invalid_value")


def test_a_value_in_a_transaction_nests_as_deep(actor):
    def txn(depth):
        return actor.client.post(f"{actor.path}/txn",
                                 f'{{"do":[{{"put":"k","value":{nested(depth)}}}]}}')
    assert txn(32).status == 200
    assert actor.get("k").body.decode() == nested(32)
    expect_problem(txn(33), 400, "invalid_value")
    expect_problem(txn(100), 400, "invalid_value")


def test_append_cannot_make_a_value_deeper_than_32(actor):
    actor.put("k", [])
    fits = actor.client.post(f"{actor.path}/txn",
                             f'{{"do":[{{"append":"k","items":[{nested(31)}]}}]}}')
    assert fits.status == 200
    deeper = actor.client.post(f"{actor.path}/txn",
                               f'{{"do":[{{"append":"k","items":[{nested(32)}]}}]}}')
    expect_problem(deeper, 400, "invalid_value")


@pytest.mark.parametrize("body", ['{"a":1,"a":2}', '[{"b":{"a":1,"a":1}}]', '{"a":1,"\\u0061":2}'])
def test_a_duplicate_key_in_a_json_map_is_400(actor, body):
    expect_problem(actor.client.put(actor.kv("k"), body), 400, "invalid_value")
    txn = f'{{"do":[{{"put":"k","value":{body}}}]}}'
    expect_problem(actor.client.post(f"{actor.path}/txn", txn), 400, "invalid_value")


def test_bytes_show_in_json_as_base64(actor):
    data = bytes(range(256))
    actor.client.put(actor.kv("k"), pack({"b": [data]}), content_type=MSGPACK)
    shown = {"$bytes": base64.b64encode(data).decode()}
    assert actor.get("k").json == {"b": [shown]}


def test_a_map_with_the_single_key_bytes_is_bytes(actor):
    actor.put("k", {"b": {"$bytes": base64.b64encode(b"\x00\xff").decode()}, "e": {"$bytes": ""}})
    assert unpack(actor.get("k", accept=MSGPACK).body) == {"b": b"\x00\xff", "e": b""}


def test_a_map_with_bytes_and_another_key_is_a_map(actor):
    value = {"$bytes": "AA==", "x": 1}
    actor.put("k", value)
    assert actor.get("k").json == value
    assert unpack(actor.get("k", accept=MSGPACK).body) == value


@pytest.mark.parametrize("text", ["*", "A", "AA", "AAA", "AA=", "AA==A", "A A=", "AA==\n", "_w==",
                                  "=", "AB=="])
def test_bad_base64_is_400(actor, text):
    expect_problem(actor.put("k", {"$bytes": text}), 400, "invalid_value")
    expect_problem(actor.put("k", [{"$bytes": text}]), 400, "invalid_value")


@pytest.mark.parametrize("value", [1, None, [], {}, True])
def test_bytes_that_are_no_string_are_400(actor, value):
    expect_problem(actor.put("k", {"$bytes": value}), 400, "invalid_value")


def test_octet_stream_stores_bytes_and_gives_them_back(actor):
    for data in [b"", b"\x00", bytes(range(256)), b"{not json", b"\xff" * 100000]:
        assert actor.put_bytes("k", data).status == 204
        answer = actor.get("k")
        assert answer.type == "application/octet-stream"
        assert answer.body == data
        assert answer.version > 0


def test_octet_stream_without_a_body_stores_no_bytes(actor):
    answer = actor.client.put(actor.kv("k"), content_type="application/octet-stream")
    assert answer.status == 204
    assert actor.get("k").body == b"" and actor.get("k").type == "application/octet-stream"


@pytest.mark.parametrize("accept, form", [
    (None, "bytes"), ("*/*", "bytes"), ("text/html", "bytes"), ("application/octet-stream", "bytes"),
    ("*/*;q=0.1", "bytes"), ("image/png, */*", "bytes"),
    ("application/json", "json"), ("APPLICATION/JSON", "json"), ("application/json, */*", "json"),
    ("application/json;charset=utf-8", "json"), ("text/html, application/json;q=0.9", "json"),
    (MSGPACK, "msgpack"), (f"{MSGPACK}, */*;q=0.1", "msgpack"),
    (f"application/json;q=0.5, {MSGPACK}", "msgpack"),
    (f"application/json, {MSGPACK};q=0.5", "json"),
    (f"{MSGPACK};q=0, application/json", "json"), (f"{MSGPACK};q=0", "bytes"),
    (f"text/plain , {MSGPACK} ; q=0.7", "msgpack")])
def test_accept_chooses_the_form_of_bytes(actor, accept, form):
    actor.put_bytes("k", b"\x01\x02")
    answer = actor.get("k", **({"accept": accept} if accept else {}))
    assert (answer.type, answer.body) == {
        "bytes": ("application/octet-stream", b"\x01\x02"),
        "json": ("application/json", b'{"$bytes":"AQI="}'),
        "msgpack": (MSGPACK, b"\xc4\x02\x01\x02"),
    }[form]


def test_accept_chooses_the_form_of_every_answer(actor):
    actor.put("k", [1])
    for path, body in [(actor.path, None), (f"{actor.path}/kv", None), (actor.kv("k"), None),
                       (f"{actor.path}/txn", '{"do":[{"get":"k"}]}')]:
        method = "POST" if body else "GET"
        plain = actor.client.request(method, path, body)
        assert plain.type == "application/json"
        for accept in ["*/*", "text/html", "application/json"]:
            assert actor.client.request(method, path, body, accept=accept).type == \
                "application/json"
        packed = actor.client.request(method, path, body, accept=MSGPACK)
        assert packed.type == MSGPACK
        assert unpack(packed.body) == plain.json


def test_bytes_inside_a_value_leave_it_a_document(actor):
    actor.put("k", [{"$bytes": "AA=="}])
    assert actor.get("k").type == "application/json"


def test_a_transaction_may_come_as_msgpack(actor):
    body = pack({"if": [{"key": "k", "exists": False}], "do": [
        {"put": "k", "value": {"b": b"\x00"}}, {"add": "n", "by": 2**40}, {"get": "k"}]})
    answer = actor.client.post(f"{actor.path}/txn", body, content_type=MSGPACK, accept=MSGPACK)
    assert answer.status == 200 and answer.type == MSGPACK
    doc = unpack(answer.body)
    assert doc["committed"] is True
    assert doc["results"][1:] == [{"value": 2**40},
                                  {"value": {"b": b"\x00"}, "version": doc["version"]}]


@pytest.mark.parametrize("content_type", [
    "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", " application/json "])
def test_json_may_be_named_in_any_case_and_with_parameters(actor, content_type):
    assert actor.client.put(actor.kv("k"), "[1]", content_type=content_type).status == 204


def test_a_body_without_a_content_type_is_json(actor):
    assert actor.client.put(actor.kv("k"), "[1]").status == 204
    assert actor.get("k").json == [1]


@pytest.mark.parametrize("content_type", [
    "text/plain", "application/cbor", "application/x-msgpack", "text/json", "json", "x", "image/png",
    "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(actor, content_type):
    answer = actor.client.put(actor.kv("k"), "1", content_type=content_type)
    expect_problem(answer, 415, "unsupported_media_type")
    answer = actor.client.post(f"{actor.path}/txn", '{"do":[]}', content_type=content_type)
    expect_problem(answer, 415, "unsupported_media_type")
    expect_problem(actor.get("k"), 404, "no_such_key")


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "identity, gzip", "x"])
def test_a_body_in_another_coding_is_415(actor, coding):
    """Nobody undoes it, so it would be stored as it is and come back as something else."""
    for content_type in ["application/json", "application/octet-stream", MSGPACK]:
        answer = actor.client.put(actor.kv("k"), "1", content_type=content_type, content_encoding=coding)
        expect_problem(answer, 415, "unsupported_media_type")
    answer = actor.client.post(f"{actor.path}/txn", '{"do":[]}', content_encoding=coding)
    expect_problem(answer, 415, "unsupported_media_type")
    expect_problem(actor.get("k"), 404, "no_such_key")


def test_the_coding_identity_is_none(actor):
    assert actor.client.put(actor.kv("k"), "1", content_encoding="identity").status == 204


def test_a_transaction_as_octet_stream_is_415(actor):
    answer = actor.client.post(f"{actor.path}/txn", b"{}", content_type="application/octet-stream")
    expect_problem(answer, 415, "unsupported_media_type")


SPECIAL = [
    {"$date": 0}, {"$date": 1700000000123}, {"$date": -1}, {"$date": None},
    {"$map": []}, {"$map": [[1, "a"], [{"x": 1}, {"$set": [1]}], ["s", None]]},
    {"$set": []}, {"$set": [1, "a", {"$date": 5}]},
    {"$bigint": "0"}, {"$bigint": "-123456789012345678901234567890"},
    {"$undefined": True},
    {"$error": {"name": "TypeError", "message": "no", "stack": "at x"}},
    {"$js": ["regexp", "a+", "g"]}, {"$js": ["view", "Int16Array", 0, 1, {"$bytes": "AAE="}]},
]


@pytest.mark.parametrize("value", SPECIAL, ids=json.dumps)
def test_what_classes_store_is_shown_as_it_is_written(actor, value):
    assert actor.put("k", value).status == 204
    assert actor.get("k").json == value
    packed = actor.get("k", accept=MSGPACK).body
    assert actor.client.put(actor.kv("copy"), packed, content_type=MSGPACK).status == 204
    assert actor.get("copy").json == value
    assert actor.put("inside", {"list": [value]}).status == 204
    assert actor.get("inside").json == {"list": [value]}


@pytest.mark.parametrize("value", [
    {"$date": "now"}, {"$date": 1e300}, {"$map": {}}, {"$map": [[1]]}, {"$map": [[1, 2, 3]]},
    {"$set": {}}, {"$bigint": "1.5"}, {"$bigint": ""}, {"$bigint": 5}, {"$bigint": "-0x1"},
    {"$undefined": False}, {"$error": "x"}, {"$error": {"name": 5}}, {"$js": []}, {"$js": [5]},
    {"$js": ["box", []]}], ids=json.dumps)
def test_a_bad_form_of_what_classes_store_is_400(actor, value):
    expect_problem(actor.put("k", value), 400, "invalid_value")


def test_another_dollar_key_is_a_plain_map(actor):
    actor.put("k", {"$other": 1})
    assert actor.get("k").json == {"$other": 1}
