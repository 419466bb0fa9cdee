/* AbortController and AbortSignal. */
import { DOMException } from "./dom_exception.js";
import { Event, EventTarget, defineHandlers } from "./event.js";
import { setTimeout } from "../timers.js";

const key = Symbol("AbortSignal"); /* only code of this file makes signals */

let abortSignal; /* (signal, reason) */

function abortError() {
    return new DOMException("The operation was aborted", "AbortError");
}

export class AbortSignal extends EventTarget {
    #aborted = false;
    #reason = undefined;
    #dependents = [];

    static {
        abortSignal = (signal, reason) => signal.#abort(reason);
    }

    constructor(proof) {
        if (proof !== key) {
            throw new TypeError("Illegal constructor");
        }
        super();
    }

    #abort(reason) {
        if (this.#aborted) {
            return;
        }
        this.#aborted = true;
        this.#reason = reason === undefined ? abortError() : reason;
        const dependents = this.#dependents;
        this.#dependents = [];
        this.dispatchEvent(new Event("abort"));
        for (const one of dependents) {
            one.#abort(this.#reason);
        }
    }

    get aborted() {
        return this.#aborted;
    }

    get reason() {
        return this.#reason;
    }

    throwIfAborted() {
        if (this.#aborted) {
            throw this.#reason;
        }
    }

    static abort(reason) {
        const signal = new AbortSignal(key);
        signal.#abort(reason);
        return signal;
    }

    static timeout(ms) {
        const signal = new AbortSignal(key);
        setTimeout(() => signal.#abort(new DOMException("The operation was aborted due to timeout", "TimeoutError")), ms);
        return signal;
    }

    static any(signals) {
        const all = [...signals];
        for (const one of all) {
            if (!(one instanceof AbortSignal)) {
                throw new TypeError("AbortSignal.any: not a signal");
            }
        }
        const signal = new AbortSignal(key);
        const aborted = all.find((one) => one.#aborted);
        if (aborted !== undefined) {
            signal.#abort(aborted.#reason);
        } else {
            all.forEach((one) => one.#dependents.push(signal));
        }
        return signal;
    }
}

defineHandlers(AbortSignal, ["abort"]);

export class AbortController {
    #signal = new AbortSignal(key);

    get signal() {
        return this.#signal;
    }

    abort(reason) {
        abortSignal(this.#signal, reason);
    }
}
