/* The names that code of users finds. */
import * as timers from "./timers.js";
import { DOMException } from "./web/dom_exception.js";
import { console } from "./console.js";

const settled = Promise.resolve();

function queueMicrotask(run) {
    if (typeof run !== "function") {
        throw new TypeError("queueMicrotask: the first argument is not a function");
    }
    settled.then(() => run());
}

const names = {
    console, queueMicrotask, DOMException,
    setTimeout: timers.setTimeout, setInterval: timers.setInterval,
    clearTimeout: timers.clearTimeout, clearInterval: timers.clearInterval,
};

export function installGlobals() {
    for (const [name, value] of Object.entries(names)) {
        Object.defineProperty(globalThis, name, {
            value, configurable: true, writable: true, enumerable: false,
        });
    }
    globalThis.self = globalThis;
}
