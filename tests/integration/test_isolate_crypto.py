"""Operations of libcrypto that the prelude's crypto.subtle is made of, against Node's."""

import base64
import hashlib
import hmac
import itertools
import json
import os
import shutil
import subprocess

import pytest

from isolate import Zygote, root

DATA = bytes(range(256)) * 5 + b"tail"
CURVES = {"P-256": 32, "P-384": 48, "P-521": 66}
HASHES = {"SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
HELPERS = """
globalThis.unhex = s => { const b = new Uint8Array(s.length / 2); for (let i = 0; i < b.length; i++) b[i] = parseInt(s.substr(2 * i, 2), 16); return b; };
globalThis.hex = b => { let s = ''; for (const x of b) s += x.toString(16).padStart(2, '0'); return s; };
globalThis.run = args => {
    const value = v => v !== null && typeof v === 'object' ? Array.isArray(v) ? v.map(value) : unhex(v.hex) : v;
    const result = host.crypto(...args.map(value));
    return result instanceof Uint8Array ? {hex: hex(result)} : Array.isArray(result) ? result.map(r => ({hex: hex(r)})) : result;
};
1
"""


@pytest.fixture(scope="module")
def child():
    with Zygote() as zygote:
        child = zygote.spawn()
        child.run(HELPERS)
        yield child


def dress(value):
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, (list, tuple)):
        return [dress(v) for v in value]
    if isinstance(value, dict):
        return {k: dress(v) for k, v in value.items()}
    return value


def undress(value):
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]) if set(value) == {"hex"} else {k: undress(v) for k, v in value.items()}
    return [undress(v) for v in value] if isinstance(value, list) else value


@pytest.fixture
def crypto(child):
    return lambda *args: undress(child.run(f"run({json.dumps(dress(list(args)))})"))


@pytest.fixture
def refuses(child):
    def check(*args):
        error = child.thrown(f"run({json.dumps(dress(list(args)))})")
        assert error["name"] in ("Error", "TypeError", "RangeError"), error
        return error["message"]

    return check


def node(*operations):
    run = subprocess.run([shutil.which("node"), os.path.join(root, "tests/lib/crypto_peer.mjs")], check=True,
                         input=json.dumps(dress(list(operations))), capture_output=True, text=True, timeout=120)
    return undress(json.loads(run.stdout))


@pytest.mark.parametrize("name", HASHES)
def test_hmac_and_derivations(crypto, name):
    method = HASHES[name]
    for key, data in itertools.product([b"", b"k", bytes(200)], [b"", DATA]):
        assert crypto("hmac", name, key, data) == hmac.new(key, data, method).digest()
    for size in (1, 20, 100):
        assert crypto("pbkdf2", name, b"password", b"salt", 1000, size) == \
            hashlib.pbkdf2_hmac(method, b"password", b"salt", 1000, size)
    assert crypto("hkdf", name, b"key", b"salt", b"info", 42) == node(
        ["deriveBits", {"name": "HKDF", "hash": name, "salt": b"salt", "info": b"info"}, "raw", b"key", 336])[0]


def test_the_empty_and_the_most_of_derivations(crypto, refuses):
    assert crypto("pbkdf2", "SHA-256", b"", b"", 1, 32) == hashlib.pbkdf2_hmac("sha256", b"", b"", 1, 32)
    assert crypto("hkdf", "SHA-256", b"", b"", b"", 0) == b""
    assert len(crypto("hkdf", "SHA-256", b"k", b"", b"", 255 * 32)) == 255 * 32
    refuses("hkdf", "SHA-256", b"k", b"", b"", 255 * 32 + 1)
    refuses("pbkdf2", "SHA-256", b"k", b"s", 0, 32)


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_aes_in_all_modes(crypto, refuses, bits):
    key, iv, counter = bytes(range(bits // 8)), bytes(range(12)), bytes(range(16))
    for data, extra, tag in itertools.product([b"", b"x", DATA], [b"", b"extra"], [128, 96]):
        sealed = crypto("aes-gcm", True, key, iv, extra, tag, data)
        assert sealed == node(["encrypt", {"name": "AES-GCM", "iv": iv, "additionalData": extra, "tagLength": tag}, "raw", key, data])[0]
        assert crypto("aes-gcm", False, key, iv, extra, tag, sealed) == data
        refuses("aes-gcm", False, key, iv, extra + b"!", tag, sealed)
        refuses("aes-gcm", False, key, iv, extra, tag, bytes([sealed[0] ^ 1]) + sealed[1:])
    for data in (b"", bytes(16), DATA):
        cbc = crypto("aes-cbc", True, key, counter, data)
        assert cbc == node(["encrypt", {"name": "AES-CBC", "iv": counter}, "raw", key, data])[0]
        assert crypto("aes-cbc", False, key, counter, cbc) == data
        refuses("aes-cbc", False, key, counter, cbc[:-1])
        assert crypto("aes-ctr", key, counter, 64, data) == node(["encrypt", {"name": "AES-CTR", "counter": counter, "length": 64}, "raw", key, data])[0]
    wrapped = crypto("aes-kw", True, key, bytes(range(32)))
    assert wrapped == node(["wrap", key, bytes(range(32))])[0]
    assert crypto("aes-kw", False, key, wrapped) == bytes(range(32))
    refuses("aes-kw", False, key, wrapped[:-1] + b"!")


@pytest.mark.parametrize("bits, counter", [
    (4, bytes(15) + b"\xfa"), (8, bytes(15) + b"\xf0"), (16, bytes(14) + b"\xff\xf8"), (31, bytes(12) + b"\xff\xff\xff\xfe"),
    (32, bytes(12) + b"\xff\xff\xff\xfe"), (33, bytes(11) + b"\x01\xff\xff\xff\xfd"), (64, bytes(8) + b"\xff" * 7 + b"\xfc"),
    (100, b"\xff" * 15 + b"\xfe"), (127, b"\xff" * 15 + b"\xff"), (128, b"\xff" * 15 + b"\xfd"), (64, bytes(8) + b"\xff" * 4 + bytes(4)),
])
def test_the_counter_of_ctr_comes_round_within_its_bits(crypto, bits, counter):
    key, data = bytes(range(16)), bytes(16 * 15)
    assert crypto("aes-ctr", key, counter, bits, data) == \
        node(["encrypt", {"name": "AES-CTR", "counter": counter, "length": bits}, "raw", key, data])[0]


def test_keys_of_a_wrong_size_are_refused(crypto, refuses):
    for size in (0, 15, 17, 33):
        refuses("aes-gcm", True, bytes(size), bytes(12), b"", 128, b"data")
        refuses("aes-kw", True, bytes(size), bytes(16))
    refuses("aes-cbc", True, bytes(16), bytes(15), b"")
    refuses("aes-gcm", False, bytes(16), bytes(12), b"", 128, bytes(15))


def encoded(number):
    return base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))


@pytest.mark.parametrize("curve", CURVES)
def test_elliptic_curves(crypto, refuses, curve):
    size = CURVES[curve]
    theirs = node(["generate", {"name": "ECDSA", "namedCurve": curve}, ["sign", "verify"]])[0]
    ours = crypto("generate-ec", curve)
    spki = crypto("public", ours)
    assert crypto("check-key", "pkcs8", ours) == crypto("check-key", "spki", spki) == curve
    assert crypto("public", theirs["pkcs8"]) == theirs["spki"]
    parts = crypto("key-parts", "pkcs8", theirs["pkcs8"])
    assert parts == [encoded(theirs["jwk"][name]) for name in "xyd"]
    assert crypto("key-parts", "spki", theirs["spki"]) == parts[:2]
    assert crypto("public", crypto("key-from-parts", curve, parts, True)) == theirs["spki"]
    assert crypto("key-from-parts", curve, parts[:2], False) == theirs["spki"]
    assert crypto("ec-raw", curve, b"\4" + parts[0] + parts[1]) == theirs["spki"]
    assert crypto("ec-raw", curve, bytes([2 + parts[1][-1] % 2]) + parts[0]) == theirs["spki"]
    algorithm = {"name": "ECDSA", "namedCurve": curve, "hash": "SHA-256"}
    signature = crypto("sign", "ECDSA", "SHA-256", ours, DATA, 0)
    assert len(signature) == 2 * size
    accepted, signed, secret = node(["verify", algorithm, spki, signature, DATA], ["sign", algorithm, "pkcs8", theirs["pkcs8"], DATA],
                                    ["agree", "ECDH", curve, theirs["pkcs8"], spki])
    assert accepted is True
    assert crypto("verify", "ECDSA", "SHA-256", theirs["spki"], signed, DATA, 0) is True
    assert crypto("verify", "ECDSA", "SHA-256", spki, signed, DATA, 0) is False
    for wrong in (b"", signed[:-1], signed + b"\0", bytes(2 * size), bytes(len(signed))):
        assert crypto("verify", "ECDSA", "SHA-256", theirs["spki"], wrong, DATA, 0) is False
    assert crypto("derive", ours, theirs["spki"]) == secret == crypto("derive", theirs["pkcs8"], spki)
    # off the curve, of another key, too short, for another use
    refuses("key-from-parts", curve, [parts[0], parts[0]], False)
    refuses("key-from-parts", curve, [*crypto("key-parts", "spki", spki), parts[2]], True)
    refuses("key-from-parts", curve, [parts[0][1:], parts[1]], False)
    refuses("key-from-parts", curve, parts[:2], True)
    refuses("ec-raw", curve, b"\4" + parts[0] + parts[0])
    refuses("sign", "RSA-PSS", "SHA-256", ours, DATA, 0)
    refuses("derive", ours, crypto("public", crypto("generate-ed", "X25519")))


def test_curve25519(crypto, refuses):
    generated = node(["generate", {"name": "Ed25519"}, ["sign", "verify"]], ["generate", {"name": "X25519"}, ["deriveBits"]])
    for name, theirs in zip(["Ed25519", "X25519"], generated):
        ours = crypto("generate-ed", name)
        spki = crypto("public", ours)
        assert crypto("check-key", "pkcs8", ours) == crypto("check-key", "spki", theirs["spki"]) == name
        parts = crypto("key-parts", "pkcs8", theirs["pkcs8"])
        assert parts == [encoded(theirs["jwk"][n]) for n in "xd"]
        assert crypto("key-from-parts", name, parts, True) == theirs["pkcs8"]
        assert crypto("key-from-parts", name, parts[:1], False) == theirs["spki"]
        refuses("key-from-parts", name, [crypto("key-parts", "spki", spki)[0], parts[1]], True)
        refuses("key-from-parts", name, [parts[0][1:]], False)
        if name == "X25519":
            secret = node(["agree", "X25519", None, theirs["pkcs8"], spki])[0]
            assert crypto("derive", ours, theirs["spki"]) == secret
            refuses("derive", ours, crypto("key-from-parts", name, [bytes(32)], False))  # of small order
        else:
            signature = crypto("sign", "Ed25519", None, ours, DATA, 0)
            accepted, signed = node(["verify", {"name": "Ed25519"}, spki, signature, DATA],
                                    ["sign", {"name": "Ed25519"}, "pkcs8", theirs["pkcs8"], DATA])
            assert accepted is True
            assert crypto("verify", "Ed25519", None, theirs["spki"], signed, DATA, 0) is True
            assert crypto("verify", "Ed25519", None, theirs["spki"], signed[:-1], DATA, 0) is False
            assert crypto("verify", "Ed25519", None, theirs["spki"], signed, DATA + b"!", 0) is False


@pytest.mark.parametrize("hash_name", ["SHA-1", "SHA-256", "SHA-512"])
def test_rsa(crypto, refuses, hash_name):
    pkcs1 = {"name": "RSASSA-PKCS1-v1_5", "hash": hash_name, "modulusLength": 2048, "publicExponent": b"\1\0\1"}
    theirs = node(["generate", pkcs1, ["sign", "verify"]])[0]
    ours = crypto("generate-rsa", 2048, b"\1\0\1")
    spki = crypto("public", ours)
    assert crypto("check-key", "pkcs8", ours) == crypto("check-key", "spki", theirs["spki"]) == "RSA"
    parts = crypto("key-parts", "pkcs8", theirs["pkcs8"])
    assert parts == [encoded(theirs["jwk"][name]) for name in ["n", "e", "d", "p", "q", "dp", "dq", "qi"]]
    assert crypto("key-from-parts", "RSA", parts, True) == theirs["pkcs8"]
    assert crypto("key-from-parts", "RSA", parts[:2], False) == theirs["spki"]
    refuses("key-from-parts", "RSA", parts[:3], True)
    refuses("key-from-parts", "RSA", [*crypto("key-parts", "spki", spki), *parts[2:]], True)
    for scheme, salt in [("RSASSA-PKCS1-v1_5", 0), ("RSA-PSS", 0), ("RSA-PSS", 20)]:
        algorithm = {"name": scheme, "hash": hash_name, "saltLength": salt}
        signature = crypto("sign", scheme, hash_name, ours, DATA, salt)
        accepted, signed = node(["verify", algorithm, spki, signature, DATA], ["sign", algorithm, "pkcs8", theirs["pkcs8"], DATA])
        assert accepted is True
        assert crypto("verify", scheme, hash_name, theirs["spki"], signed, DATA, salt) is True
        assert crypto("verify", scheme, hash_name, spki, signed, DATA, salt) is False
        assert crypto("verify", scheme, hash_name, theirs["spki"], signed[1:], DATA, salt) is False
        refuses("sign", "ECDSA", hash_name, ours, DATA, 0)
    for label, data in itertools.product([b"", b"label"], [b"", b"secret"]):
        oaep = {"name": "RSA-OAEP", "hash": hash_name, "label": label}
        sealed = crypto("rsa-oaep", True, hash_name, theirs["spki"], label, data)
        opened, back = node(["decrypt", oaep, "pkcs8", theirs["pkcs8"], sealed], ["encrypt", oaep, "spki", spki, data])
        assert opened == data == crypto("rsa-oaep", False, hash_name, ours, label, back)
        refuses("rsa-oaep", False, hash_name, ours, label + b"!", back)
    refuses("rsa-oaep", True, hash_name, theirs["spki"], b"", bytes(300))


@pytest.mark.parametrize("damage", [lambda der: der[:-1], lambda der: der + b"\0", lambda der: b"", lambda der: b"\x30\x80" + der[2:],
                                    lambda der: bytes(len(der)), lambda der: der[:len(der) // 2]])
def test_what_is_no_key_is_refused(crypto, refuses, damage):
    for pkcs8 in (crypto("generate-ec", "P-256"), crypto("generate-ed", "Ed25519")):
        refuses("check-key", "pkcs8", damage(pkcs8))
        refuses("check-key", "spki", damage(crypto("public", pkcs8)))
        refuses("key-parts", "pkcs8", damage(pkcs8))
        refuses("check-key", "spki", pkcs8)


def test_operations_and_names_that_there_are_not(crypto, refuses):
    refuses("rot13", b"text")
    refuses("hmac", "SHA-3", b"", b"")
    refuses("hmac", None, b"", b"")
    refuses("generate-ec", "P-224")
    refuses("generate-ec", "secp256k1")
    refuses("generate-ed", "Ed448")
    refuses("generate-rsa", 16385, b"\3")
    refuses("hmac")
    refuses("hmac", "SHA-1", "text", b"")


def test_no_two_children_make_the_same_key():
    with Zygote() as zygote:
        keys = set()
        for _ in range(10):
            child = zygote.spawn()
            child.run(HELPERS)
            keys.add(child.run("run(['generate-ec', 'P-256']).hex") + child.run("run(['generate-ed', 'Ed25519']).hex"))
        assert len(keys) == 10
