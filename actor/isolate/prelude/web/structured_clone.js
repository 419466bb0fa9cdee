/* structuredClone: copies in memory, cycles and all. */
import { DOMException } from "./dom_exception.js";
import { makeError, uncloneable } from "../clone.js";

function refuse(what) {
    throw new DOMException(`${what} could not be cloned.`, "DataCloneError");
}

function nameOf(value) {
    const name = value.constructor?.name;
    return `#<${typeof name === "string" && name !== "" ? name : "Object"}>`;
}

class Cloning {
    constructor() {
        this.copies = new Map();
    }

    one(value) {
        if (typeof value === "function") {
            refuse(String(value).slice(0, 200));
        }
        if (typeof value === "symbol") {
            refuse(String(value));
        }
        if (typeof value !== "object" || value === null) {
            return value;
        }
        return this.copies.get(value) ?? this.object(value);
    }

    kept(value, copy) {
        this.copies.set(value, copy);
        return copy;
    }

    object(value) {
        if (value instanceof RegExp) {
            return this.kept(value, new RegExp(value.source, value.flags));
        }
        if (value[uncloneable]) {
            refuse(nameOf(value));
        }
        if (Array.isArray(value)) {
            return this.members(value, this.kept(value, new Array(value.length)));
        }
        if (value instanceof Date) {
            return this.kept(value, new Date(value.getTime()));
        }
        if (value instanceof ArrayBuffer) {
            return this.kept(value, value.slice(0));
        }
        if (ArrayBuffer.isView(value)) {
            return this.view(value);
        }
        if (value instanceof Map) {
            return this.map(value);
        }
        if (value instanceof Set) {
            return this.set(value);
        }
        if (value instanceof Error) {
            return this.error(value);
        }
        for (const type of [Boolean, Number, String, BigInt]) {
            if (value instanceof type) {
                return this.kept(value, Object(value.valueOf()));
            }
        }
        return this.members(value, this.kept(value, {}));
    }

    view(value) {
        const buffer = this.one(value.buffer);
        const length = value instanceof DataView ? value.byteLength : value.length;
        return this.kept(value, new value.constructor(buffer, value.byteOffset, length));
    }

    map(value) {
        const copy = this.kept(value, new Map());
        for (const [key, item] of [...value]) {
            copy.set(this.one(key), this.one(item));
        }
        return copy;
    }

    set(value) {
        const copy = this.kept(value, new Set());
        for (const item of [...value]) {
            copy.add(this.one(item));
        }
        return copy;
    }

    error(value) {
        const copy = this.kept(value, makeError(String(value.name), String(value.message), value.stack));
        if (Object.hasOwn(value, "cause")) {
            Object.defineProperty(copy, "cause", { value: this.one(value.cause), configurable: true, writable: true });
        }
        for (const key of Object.keys(value).filter((name) => !["name", "message", "stack", "cause"].includes(name))) {
            copy[key] = this.one(value[key]);
        }
        return copy;
    }

    members(value, copy) {
        for (const key of Object.keys(value)) {
            Object.defineProperty(copy, key, {
                value: this.one(value[key]), configurable: true, enumerable: true, writable: true,
            });
        }
        return copy;
    }
}

export function structuredClone(value, options) {
    if (arguments.length === 0) {
        throw new TypeError("structuredClone: the argument is missing");
    }
    const cloning = new Cloning();
    const transfers = [...(options?.transfer ?? [])];
    for (const one of transfers) {
        if (!(one instanceof ArrayBuffer)) {
            refuse(nameOf(Object(one)));
        }
        cloning.copies.set(one, one); /* replaced below: first all must be well */
    }
    if (new Set(transfers).size !== transfers.length) {
        throw new DOMException("An ArrayBuffer is transferred twice.", "DataCloneError");
    }
    for (const one of transfers) {
        cloning.copies.set(one, one.transfer ? one.transfer() : one.slice(0));
    }
    return cloning.one(value);
}
