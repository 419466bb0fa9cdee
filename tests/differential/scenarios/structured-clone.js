import { outcome, outcomeName, scenario } from "./harness.js";

const same = (value) => structuredClone(value);

export default scenario({
    "plain": () => same({ a: [1, "x", null, undefined, { b: true }] }),
    "types": () => same([new Date(5), /a/gi, new Map([[1, 2]]), new Set([1]), 5n, new Uint16Array([1]), new ArrayBuffer(2)]),
    "boxes": () => same([Object(1), Object("s"), Object(false)]),
    "cycles": () => {
        const one = { a: 1 };
        one.self = one;
        return same(one);
    },
    "shared": () => {
        const one = [1];
        return same([one, one]);
    },
    "sparse": () => same([1, , 3]),
    "array members": () => same(Object.assign([1], { x: 2 })),
    "errors": () => same([new TypeError("t"), new Error("e", { cause: 1 })]),
    "an error's members": () => same(Object.assign(new Error("e"), { code: 1 })),
    "views of one buffer": () => {
        const buffer = new ArrayBuffer(8);
        const [a, b] = same([new Uint8Array(buffer, 1, 2), new Uint32Array(buffer, 4)]);
        return [a.buffer === b.buffer, a.byteOffset, b.byteOffset, a.length, b.length];
    },
    "a DataView": () => same(new DataView(new Uint8Array([1, 2, 3]).buffer, 1)),
    "a transfer": () => {
        const buffer = new Uint8Array([1, 2]).buffer;
        const moved = structuredClone({ buffer }, { transfer: [buffer] });
        return [moved, buffer.byteLength];
    },
    "no prototype": () => same(Object.assign(Object.create(null), { a: 1 })),
    "an instance": () => {
        class A { x = 1; m() {} }
        const copy = same(new A());
        return [copy, copy.constructor === Object];
    },
    "a function": () => outcomeName(() => same(() => 1)),
    "a symbol": () => outcomeName(() => same(Symbol("x"))),
    "a promise": () => outcomeName(() => same(Promise.resolve())),
    "a weak map": () => outcomeName(() => same(new WeakMap())),
    "a response": () => outcomeName(() => same(new Response())),
    "nothing": () => outcomeName(() => structuredClone()),
    "a DOMException": () => outcomeName(() => same(new DOMException("m", "AbortError"))),
    "a transfer of what is none": () => outcomeName(() => structuredClone(1, { transfer: [{}] })),
    "a transfer twice": () => {
        const buffer = new ArrayBuffer(1);
        return outcomeName(() => structuredClone(buffer, { transfer: [buffer, buffer] }));
    },
    "a getter that throws": () => outcome(() => same({ get a() { throw new RangeError("no"); } })),
});
