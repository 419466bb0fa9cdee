/* The object of the user's class, and which of its methods others may call. */
import { apiError } from "./errors.js";
import { Agent } from "./agent/agent.js";
import { bases } from "./entrypoints.js";

/* The runtime calls these, or they are everybody's. */
const reserved = new Set([
    "constructor", "fetch", "connect", "alarm", "onTimer", "webSocketMessage", "webSocketClose",
    "webSocketError", "dup", "then",
]);

let instance = null;
const holders = new Map(); /* by method: the prototype that has it */

export function setInstance(object) {
    instance = object;
}

export function getInstance() {
    return instance;
}

/* Methods are those of the class and of the classes of the user that it extends. */
function findHolder(method) {
    if (reserved.has(method)) {
        return null;
    }
    let at = Object.getPrototypeOf(instance);
    while (at !== null && !bases.has(at)) {
        const own = Object.getOwnPropertyDescriptor(at, method);
        if (own !== undefined) {
            return typeof own.value === "function" ? at : null;
        }
        at = Object.getPrototypeOf(at);
    }
    return null;
}

export function methodOf(method) {
    let holder = holders.get(method);
    if (holder === undefined) {
        holder = findHolder(method);
        if (holder === null) {
            throw apiError("no_such_method",
                           `The RPC receiver does not implement the method "${method}".`, TypeError);
        }
        holders.set(method, holder);
    }
    return holder[method];
}

export function handlerOf(name) {
    const handler = instance[name];
    return typeof handler === "function" ? handler : null;
}

/* Of a class: what may be called, for the deploy check. */
export function methodsOf(constructor) {
    const names = new Set();
    let at = constructor.prototype;
    while (at && !bases.has(at) && at !== Agent.prototype) {
        for (const name of Object.getOwnPropertyNames(at)) {
            if (!reserved.has(name) && typeof Object.getOwnPropertyDescriptor(at, name).value === "function") {
                names.add(name);
            }
        }
        at = Object.getPrototypeOf(at);
    }
    return [...names];
}
