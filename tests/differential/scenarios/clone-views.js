import { DurableObject } from "cloudflare:workers";
import { outcome, scenario, shown } from "./harness.js";

export class Keeper extends DurableObject {
    async stored(name) {
        await this.ctx.storage.put("k", values[name]());
        await this.ctx.storage.sync();
        return JSON.stringify(shown(await this.ctx.storage.get("k")));
    }

    async echo(value) {
        return value;
    }

    async kind(value) {
        return [Object.prototype.toString.call(value), value.byteLength ?? value.length, value.byteOffset ?? null];
    }
}

const buffer = () => new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer;

const values = {
    "ArrayBuffer": () => buffer(),
    "an empty ArrayBuffer": () => new ArrayBuffer(0),
    "Int8Array": () => new Int8Array([-128, 127]),
    "Uint8Array": () => new Uint8Array([0, 255]),
    "Uint8ClampedArray": () => new Uint8ClampedArray([0, 300]),
    "Int16Array": () => new Int16Array([-32768, 32767]),
    "Uint16Array": () => new Uint16Array([0, 65535]),
    "Int32Array": () => new Int32Array([-(2 ** 31), 2 ** 31 - 1]),
    "Uint32Array": () => new Uint32Array([0, 2 ** 32 - 1]),
    "Float32Array": () => new Float32Array([0.5, -Infinity]),
    "Float64Array": () => new Float64Array([0.1, NaN]),
    "BigInt64Array": () => new BigInt64Array([-(2n ** 63n), 5n]),
    "BigUint64Array": () => new BigUint64Array([2n ** 64n - 1n]),
    "DataView": () => new DataView(buffer()),
    "an empty Uint8Array": () => new Uint8Array(0),
    "an empty Float64Array": () => new Float64Array(0),
    "a part of a buffer": () => new Uint8Array(buffer(), 2, 3),
    "a part of a buffer, wider": () => new Uint16Array(buffer(), 2, 2),
    "a part of a buffer as a DataView": () => new DataView(buffer(), 3, 2),
    "two views of one buffer": () => {
        const shared = buffer();
        return [new Uint8Array(shared), new Uint32Array(shared), shared];
    },
    "in an object": () => ({ a: new Int16Array([1]), b: { c: new ArrayBuffer(2) } }),
    "in a map": () => new Map([[new Uint8Array([1]), new Float32Array([2])]]),
};

export default scenario({
    ...Object.fromEntries(Object.keys(values).map((name) => [`stored: ${name}`, (env) => outcome(async () => JSON.parse(await env.Keeper.getByName("one").stored(name)))])),
    ...Object.fromEntries(Object.keys(values).map((name) => [`called: ${name}`, (env) => outcome(() => env.Keeper.getByName("one").echo(values[name]()))])),
    ...Object.fromEntries(Object.keys(values).map((name) => [`heard: ${name}`, (env) => outcome(() => env.Keeper.getByName("one").kind(values[name]()))])),
});
