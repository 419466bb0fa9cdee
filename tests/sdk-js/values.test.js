// Values in JSON and in JavaScript, without a node.
import assert from "node:assert/strict";
import { test } from "node:test";

import { DormouseError, decode, encode } from "../../sdk-js/dist/index.js";

const same = [
    null, true, 0, -0, -1.5, "", "text \u2028 \"quoted\" \\ $bytes 12345678901234567890", [], {}, [[{ a: [1, { b: null }] }]],
    new Uint8Array(), new Uint8Array([0, 255, 1]), new Date(5), 0n, 5n, -5n, 2n ** 53n, -(2n ** 63n), 2n ** 64n - 1n,
    2n ** 64n, -(2n ** 63n) - 1n, 10n ** 40n, new Map([[1, "a"], ["b", new Set([new Date(7)])]]), new Set(), /a"\/b/giu, new Float32Array([1, 2.5]),
    new BigInt64Array([-1n]), new Uint8ClampedArray([1]), new ArrayBuffer(3), [undefined, 1], { "12345678901234567890": 12345678901234567890n },
    { $a: 1 }, { $date: 5, other: 1 }, JSON.parse('{"__proto__":{"a":1},"b":2}'),
];

for (const value of same) {
    test(`${encode(value)} comes back as it was`, () => {
        assert.deepEqual(decode(encode(value)), value);
    });
}

test("integers that no number holds come as bigint and go as integers", () => {
    assert.equal(decode("9007199254740993"), 9007199254740993n);
    assert.equal(decode("9007199254740991"), 9007199254740991);
    assert.deepEqual(decode('["9007199254740993",[-9007199254740993],1e30,1.0000000000000000]'), ["9007199254740993", [-9007199254740993n], 1e30, 1]);
    assert.equal(encode([9007199254740993n]), "[9007199254740993]");
    assert.equal(encode([1n]), '[{"$bigint":"1"}]');
});

test("a long text with escapes and digits is passed over whole", () => {
    const text = 'say \\"1234567890123456789\\" \n'.repeat(80_000);
    assert.equal(decode(encode([text, 2n ** 60n]))[0], text);
});

test("a view shows its own bytes, not its whole buffer", () => {
    const bytes = new Uint8Array([1, 2, 3, 4]).subarray(1, 3);
    assert.equal(encode(bytes), '{"$bytes":"AgM="}');
});

test("a date that is none stays one", () => {
    assert.ok(Number.isNaN(decode(encode(new Date(NaN))).getTime()));
});

test("members that are undefined are left out", () => {
    assert.equal(encode({ a: undefined, b: 1 }), '{"b":1}');
});

test("holes of arrays stay holes", () => {
    // eslint-disable-next-line no-sparse-arrays
    const back = decode(encode([1, , 3]));
    assert.equal(1 in back, false);
    assert.equal(back.length, 3);
});

test("what brings its own JSON is that", () => {
    assert.equal(encode({ url: new URL("http://a/b") }), '{"url":"http://a/b"}');
});

test("errors keep class, message and stack", () => {
    const back = decode(encode(new RangeError("too far")));
    assert.ok(back instanceof RangeError);
    assert.equal(back.message, "too far");
    assert.match(back.stack, /values\.test\.js/);
    const other = decode('{"$error":{"name":"Mine","message":"m","stack":"f@main.js:1:2"}}');
    assert.equal(String(other), "Mine: m");
    assert.match(other.stack, /Mine: m\n {4}at f@main\.js/);
});

const circle = {};
circle.self = circle;
for (const [name, value] of Object.entries({ NaN, Infinity, function: () => 1, symbol: Symbol("s"), circle })) {
    test(`${name} is refused before anything is sent`, () => {
        assert.throws(() => encode({ value }), (error) => error instanceof DormouseError && error.code === "invalid_argument");
    });
}
