/* Event and EventTarget, without a tree: an event is heard where it is dispatched. */
import { uncloneable } from "../clone.js";
import { host } from "../host.js";
import { format } from "../inspect.js";
import { log } from "../console.js";

const NONE = 0;
const AT_TARGET = 2;

let beginDispatch; /* (event, target): for EventTarget alone */
let endDispatch;
let isStopped;
let setPassive;

export class Event {
    #type;
    #bubbles;
    #cancelable;
    #composed;
    #target = null;
    #phase = NONE;
    #isStopped = false;
    #isPrevented = false;
    #isPassive = false;
    #timeStamp = host.now();

    static {
        beginDispatch = (event, target) => {
            if (event.#phase !== NONE) {
                throw new TypeError("The event is already being dispatched.");
            }
            event.#target = target;
            event.#phase = AT_TARGET;
        };
        endDispatch = (event) => {
            event.#phase = NONE;
            event.#isStopped = false;
        };
        isStopped = (event) => event.#isStopped;
        setPassive = (event, isPassive) => {
            event.#isPassive = isPassive;
        };
    }

    constructor(type, init) {
        if (arguments.length === 0) {
            throw new TypeError("Event: the type is missing.");
        }
        this.#type = String(type);
        this.#bubbles = Boolean(init?.bubbles);
        this.#cancelable = Boolean(init?.cancelable);
        this.#composed = Boolean(init?.composed);
    }

    get type() {
        return this.#type;
    }

    get target() {
        return this.#target;
    }

    get srcElement() {
        return this.#target;
    }

    get currentTarget() {
        return this.#phase === NONE ? null : this.#target;
    }

    get eventPhase() {
        return this.#phase;
    }

    get bubbles() {
        return this.#bubbles;
    }

    get cancelable() {
        return this.#cancelable;
    }

    get composed() {
        return this.#composed;
    }

    get defaultPrevented() {
        return this.#isPrevented;
    }

    get isTrusted() {
        return false;
    }

    get timeStamp() {
        return this.#timeStamp;
    }

    get cancelBubble() {
        return this.#isStopped;
    }

    get returnValue() {
        return !this.#isPrevented;
    }

    composedPath() {
        return this.#phase === NONE ? [] : [this.#target];
    }

    preventDefault() {
        if (this.#cancelable && !this.#isPassive) {
            this.#isPrevented = true;
        }
    }

    stopPropagation() {}

    stopImmediatePropagation() {
        this.#isStopped = true;
    }
}

for (const [name, value] of Object.entries({ NONE, CAPTURING_PHASE: 1, AT_TARGET, BUBBLING_PHASE: 3 })) {
    Object.defineProperty(Event, name, { value, enumerable: true });
    Object.defineProperty(Event.prototype, name, { value, enumerable: true });
}

export class CustomEvent extends Event {
    #detail;

    constructor(type, init) {
        super(type, init);
        this.#detail = init?.detail ?? null;
    }

    get detail() {
        return this.#detail;
    }
}

export class MessageEvent extends Event {
    #init;

    constructor(type, init) {
        super(type, init);
        this.#init = init ?? {};
    }

    get data() {
        return this.#init.data ?? null;
    }

    get origin() {
        return this.#init.origin ?? "";
    }

    get lastEventId() {
        return this.#init.lastEventId ?? "";
    }

    get source() {
        return this.#init.source ?? null;
    }

    get ports() {
        return this.#init.ports ?? [];
    }
}

export class CloseEvent extends Event {
    #code;
    #reason;
    #wasClean;

    constructor(type, init) {
        super(type, init);
        this.#code = Number(init?.code ?? 0);
        this.#reason = String(init?.reason ?? "");
        this.#wasClean = Boolean(init?.wasClean);
    }

    get code() {
        return this.#code;
    }

    get reason() {
        return this.#reason;
    }

    get wasClean() {
        return this.#wasClean;
    }
}

export class ErrorEvent extends Event {
    #init;

    constructor(type, init) {
        super(type, init);
        this.#init = init ?? {};
    }

    get message() {
        return this.#init.message ?? "";
    }

    get filename() {
        return this.#init.filename ?? "";
    }

    get lineno() {
        return this.#init.lineno ?? 0;
    }

    get colno() {
        return this.#init.colno ?? 0;
    }

    get error() {
        return this.#init.error;
    }
}

/* What a listener throws is nobody's failure but its own. */
function report(error) {
    log("error", format(["Uncaught", error]));
}

function hear(listener, event, target) {
    try {
        const { callback } = listener;
        const result = typeof callback === "function" ? callback.call(target, event)
            : callback.handleEvent(event);
        if (result instanceof Promise) {
            result.catch(report);
        }
    } catch (error) {
        report(error);
    }
}

export class EventTarget {
    #listeners = null; /* by type: an array, replaced when it changes */

    addEventListener(type, callback, options) {
        if (callback === null || callback === undefined) {
            return;
        }
        if (typeof callback !== "function" && typeof callback !== "object") {
            throw new TypeError("addEventListener: the listener is not a function.");
        }
        const capture = typeof options === "object" && options !== null ? Boolean(options.capture) : Boolean(options);
        const { once = false, passive = false, signal } = typeof options === "object" && options !== null ? options : {};
        if (signal?.aborted) {
            return;
        }
        type = String(type);
        this.#listeners ??= new Map();
        const listeners = this.#listeners.get(type) ?? [];
        if (listeners.some((one) => one.callback === callback && one.capture === capture)) {
            return;
        }
        this.#listeners.set(type, [...listeners, { callback, capture, once, passive, isRemoved: false }]);
        signal?.addEventListener("abort", () => this.removeEventListener(type, callback, { capture }), { once: true });
    }

    removeEventListener(type, callback, options) {
        const capture = typeof options === "object" && options !== null ? Boolean(options.capture) : Boolean(options);
        type = String(type);
        const listeners = this.#listeners?.get(type);
        const found = listeners?.find((one) => one.callback === callback && one.capture === capture);
        if (found !== undefined) {
            found.isRemoved = true;
            this.#listeners.set(type, listeners.filter((one) => one !== found));
        }
    }

    dispatchEvent(event) {
        if (!(event instanceof Event)) {
            throw new TypeError("dispatchEvent: the argument is not an Event.");
        }
        const listeners = this.#listeners?.get(event.type);
        beginDispatch(event, this);
        try {
            for (const listener of listeners ?? []) {
                if (listener.isRemoved || isStopped(event)) {
                    continue;
                }
                if (listener.once) {
                    this.removeEventListener(event.type, listener.callback, { capture: listener.capture });
                }
                setPassive(event, listener.passive);
                hear(listener, event, this);
            }
        } finally {
            endDispatch(event);
        }
        return !event.defaultPrevented;
    }

    get [uncloneable]() {
        return true;
    }
}

/* Attributes like `onmessage`: the handler is a listener that keeps its place. */
export function defineHandlers(target, types) {
    for (const type of types) {
        const handlers = new WeakMap();
        Object.defineProperty(target.prototype, `on${type}`, {
            configurable: true, enumerable: true,
            get() {
                return handlers.get(this)?.handler ?? null;
            },
            set(handler) {
                const usable = typeof handler === "function" || (typeof handler === "object" && handler !== null) ? handler : null;
                let slot = handlers.get(this);
                if (slot === undefined) {
                    slot = { handler: null };
                    handlers.set(this, slot);
                    this.addEventListener(type, (event) => {
                        if (typeof slot.handler === "function" && slot.handler.call(this, event) === false) {
                            event.preventDefault();
                        }
                    });
                }
                slot.handler = usable;
            },
        });
    }
}
