/* A stub: another actor as an object whose methods are calls. */
import * as channel from "./channel.js";
import * as reader from "./reader.js";
import { encodeCopy, read, uncloneable } from "./clone.js";
import { fetchActor } from "./web/fetch.js";

export class DurableObjectStub {
    get [Symbol.toStringTag]() {
        return "DurableObject";
    }
}

/* How a call ends: the result is one document in a bin. */
class Call {
    constructor(resolve, reject) {
        this.resolve = resolve;
        this.failed = (error) => reject(failure(error));
    }

    answered() {
        this.resolve(reader.binHead() < 0 ? undefined : read());
    }
}

/* The object that is called is there: what it lacks is a mistake of the caller. */
function failure(error) {
    return error.code === "no_such_method" ? Object.assign(new TypeError(error.message), { remote: true }) : error;
}

function call(className, hex, name, method, args) {
    return new Promise((resolve, reject) => {
        channel.askOutside("call", [className, hex ?? null, name ?? null, method, encodeCopy(args)],
                           new Call(resolve, reject));
    });
}

/* Every name is a method there, but for these, for what every object has, and for `then`: a stub is no
 * promise. */
class StubHandler {
    constructor(className, hex, name, id) {
        this.className = className;
        this.hex = hex;
        this.name = name;
        this.id = id;
        this.methods = new Map();
    }

    get(target, property) {
        if (typeof property === "symbol") {
            return property === uncloneable ? true : target[property];
        }
        const known = this.methods.get(property);
        if (known !== undefined) {
            return known;
        }
        switch (property) {
        case "then":
            return undefined;
        case "id":
            return this.id;
        case "name":
            return this.name;
        }
        if (Object.hasOwn(Object.prototype, property)) {
            return target[property];
        }
        const made = this.make(property);
        this.methods.set(property, made);
        return made;
    }

    make(property) {
        const { className, hex, name } = this;
        if (property === "fetch") {
            return (input, init) => fetchActor(className, hex, name, input, init);
        }
        return async (...args) => call(className, hex, name, property, args);
    }

    has(target, property) {
        return typeof property === "string" && property !== "then";
    }

    set() {
        throw new TypeError("A stub has no members that can be set.");
    }

    defineProperty() {
        throw new TypeError("A stub has no members that can be set.");
    }
}

export function makeStub(className, hex, name, id) {
    return new Proxy(new DurableObjectStub(), new StubHandler(className, hex, name, id));
}
