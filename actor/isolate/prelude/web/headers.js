/* Headers. */
import { uncloneable } from "../clone.js";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

function checkName(name) {
    const text = String(name);
    if (!TOKEN.test(text)) {
        throw new TypeError(`Invalid header name: ${text.slice(0, 100)}`);
    }
    return text.toLowerCase();
}

function checkValue(value) {
    const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
    if (/[\0\r\n]/.test(text)) {
        throw new TypeError("Invalid header value");
    }
    if (/[^\x00-\xff]/.test(text)) {
        throw new TypeError("Invalid header value: it has characters beyond Latin-1");
    }
    return text;
}

let makeImmutable;

export class Headers {
    #values = new Map(); /* by lower-case name: the value; of set-cookie an array */
    #isImmutable = false;

    static {
        makeImmutable = (headers) => {
            headers.#isImmutable = true;
        };
    }

    constructor(init = undefined) {
        if (init === undefined) {
            return;
        }
        if (init === null || typeof init !== "object") {
            throw new TypeError("Headers: the argument is neither headers, nor pairs, nor an object.");
        }
        if (init instanceof Headers) {
            for (const [name, value] of init.#values) {
                this.#values.set(name, Array.isArray(value) ? [...value] : value);
            }
        } else if (typeof init[Symbol.iterator] === "function") {
            for (const pair of init) {
                const [name, value, ...rest] = [...pair];
                if (value === undefined || rest.length > 0) {
                    throw new TypeError("Headers: a pair has two items.");
                }
                this.append(name, value);
            }
        } else {
            for (const name of Reflect.ownKeys(init)) {
                if (Object.prototype.propertyIsEnumerable.call(init, name)) {
                    this.append(name, init[name]);
                }
            }
        }
    }

    #checkMutable() {
        if (this.#isImmutable) {
            throw new TypeError("Can't modify immutable headers.");
        }
    }

    append(name, value) {
        name = checkName(name);
        value = checkValue(value);
        this.#checkMutable();
        const old = this.#values.get(name);
        if (name === "set-cookie") {
            this.#values.set(name, [...(old ?? []), value]);
        } else {
            this.#values.set(name, old === undefined ? value : `${old}, ${value}`);
        }
    }

    set(name, value) {
        name = checkName(name);
        value = checkValue(value);
        this.#checkMutable();
        this.#values.set(name, name === "set-cookie" ? [value] : value);
    }

    delete(name) {
        name = checkName(name);
        this.#checkMutable();
        this.#values.delete(name);
    }

    get(name) {
        const value = this.#values.get(checkName(name));
        return value === undefined ? null : Array.isArray(value) ? value.join(", ") : value;
    }

    has(name) {
        return this.#values.has(checkName(name));
    }

    getSetCookie() {
        return [...(this.#values.get("set-cookie") ?? [])];
    }

    getAll(name) {
        if (checkName(name) !== "set-cookie") {
            throw new TypeError("getAll() can only be used with the header name \"Set-Cookie\".");
        }
        return this.getSetCookie();
    }

    *entries() {
        for (const name of [...this.#values.keys()].sort()) {
            const value = this.#values.get(name);
            if (Array.isArray(value)) {
                for (const one of value) {
                    yield [name, one];
                }
            } else if (value !== undefined) {
                yield [name, value];
            }
        }
    }

    *keys() {
        for (const [name] of this.entries()) {
            yield name;
        }
    }

    *values() {
        for (const [, value] of this.entries()) {
            yield value;
        }
    }

    [Symbol.iterator]() {
        return this.entries();
    }

    forEach(callback, self) {
        for (const [name, value] of this.entries()) {
            callback.call(self, value, name, this);
        }
    }

    get [Symbol.toStringTag]() {
        return "Headers";
    }
}

Object.defineProperty(Headers.prototype, uncloneable, { value: true });

/* Of what has come in: code may read them and copy them. */
export function immutable(headers) {
    makeImmutable(headers);
    return headers;
}

/* [[name, value], …] for a frame. */
export function pairsOf(headers) {
    return [...headers.entries()];
}
