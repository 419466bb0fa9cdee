/* The default export of the entry module: an object with fetch, or a class of WorkerEntrypoint. */
import * as lifecycle from "./lifecycle.js";
import { apiError } from "./errors.js";

let handler = null;
let environment = null;

export function setEntry(value, env) {
    handler = value;
    environment = env;
}

export function hasEntry() {
    return handler !== null;
}

export class ExecutionContext {
    props = {};
    exports = {};

    waitUntil(promise) {
        lifecycle.waitUntil(promise);
    }

    passThroughOnException() {}
}

export function fetchEntry(request) {
    const ctx = new ExecutionContext();
    if (typeof handler === "function") {
        const instance = new handler(ctx, environment);
        if (typeof instance.fetch === "function") {
            return instance.fetch(request);
        }
    } else if (typeof handler?.fetch === "function") {
        return handler.fetch(request, environment, ctx);
    }
    throw apiError("no_such_method", "The module has no default export with a fetch() handler.", TypeError);
}
