/* Request. */
import { AbortController, AbortSignal } from "./abort.js";
import { Body, copyBody, extractBody, hasBody, takeBody } from "./body.js";
import { Headers, immutable } from "./headers.js";
import { URL, hrefOf } from "./url.js";
import { uncloneable } from "../clone.js";

const key = Symbol("Request of an event");

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const upperCased = new Set(["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"]);

function methodOf(method) {
    const text = String(method);
    if (!TOKEN.test(text)) {
        throw new TypeError(`Invalid HTTP method: ${text.slice(0, 100)}`);
    }
    const upper = text.toUpperCase();
    if (upper === "CONNECT" || upper === "TRACE" || upper === "TRACK") {
        throw new TypeError(`The HTTP method ${upper} is not supported.`);
    }
    return upperCased.has(upper) ? upper : text;
}

function redirectOf(redirect) {
    if (redirect !== "follow" && redirect !== "manual" && redirect !== "error") {
        throw new TypeError(`Invalid redirect: ${redirect}`);
    }
    return redirect;
}

let socketOf;
let signalOf;

export class Request extends Body {
    #method;
    #url;
    #headers;
    #redirect;
    #signal;
    #makeSignal = null;
    #cf;
    #socket = null; /* of an event that asks for a WebSocket: its number */

    static {
        socketOf = (request) => request.#socket;
        signalOf = (request) => request.#signal;
    }

    constructor(input, init = undefined) {
        if (input === key) {
            super(init.body);
            this.#method = init.method;
            this.#url = init.url;
            this.#headers = init.headers; /* pairs, until somebody looks at them */
            this.#redirect = "manual";
            this.#signal = init.signal;
            this.#makeSignal = init.makeSignal ?? null;
            this.#socket = init.socket;
            return;
        }
        const from = input instanceof Request ? input : null;
        const has = init?.body !== undefined && init.body !== null;
        const extracted = has ? extractBody(init.body) : { source: null, type: null };
        const method = init?.method !== undefined ? methodOf(init.method) : from?.method ?? "GET";
        if (has && (method === "GET" || method === "HEAD")) {
            throw new TypeError("Request with a GET or HEAD method cannot have a body.");
        }
        const takesBody = from !== null && !has && init?.body !== null && hasBody(from);
        super(takesBody ? takeBody(from) : extracted.source);
        this.#method = method;
        this.#url = from !== null ? from.url : hrefOf(input instanceof URL ? input.href : String(input));
        this.#headers = new Headers(init?.headers ?? from?.headers ?? undefined);
        this.#redirect = redirectOf(init?.redirect ?? from?.redirect ?? "follow");
        this.#signal = init?.signal === null ? null : init?.signal ?? (from === null ? null : from.#signal);
        if (this.#signal !== null && !(this.#signal instanceof AbortSignal)) {
            throw new TypeError("Request: the signal is not an AbortSignal.");
        }
        this.#cf = init?.cf ?? from?.cf;
        this.#socket = from === null ? null : from.#socket;
        if (extracted.type !== null && !this.#headers.has("content-type")) {
            this.#headers.set("content-type", extracted.type);
        }
    }

    get method() {
        return this.#method;
    }

    get url() {
        return this.#url;
    }

    get headers() {
        if (Array.isArray(this.#headers)) {
            this.#headers = immutable(new Headers(this.#headers));
        }
        return this.#headers;
    }

    get redirect() {
        return this.#redirect;
    }

    get signal() {
        this.#signal ??= this.#makeSignal?.() ?? new AbortController().signal;
        return this.#signal;
    }

    get cf() {
        return this.#cf;
    }

    get fetcher() {
        return null;
    }

    get keepalive() {
        return false;
    }

    get integrity() {
        return "";
    }

    get cache() {
        return undefined;
    }

    clone() {
        const copy = new Request(key, {
            method: this.#method, url: this.#url, headers: [...this.headers], body: copyBody(this),
            signal: this.#signal, socket: this.#socket,
        });
        copy.#headers = new Headers(this.headers);
        copy.#redirect = this.#redirect;
        copy.#cf = this.#cf;
        return copy;
    }

    get [Symbol.toStringTag]() {
        return "Request";
    }
}

Object.defineProperty(Request.prototype, uncloneable, { value: true });

/* The request of an event: {method, url, headers: pairs, body: bytes or null, signal, socket}. */
export function incomingRequest(parts) {
    return new Request(key, parts);
}

/* The number of the WebSocket that the event which it came with asks for, or null. */
export function requestSocket(request) {
    return socketOf(request);
}

/* Its signal, or null where nobody gave it one nor asked for it. */
export function requestSignal(request) {
    return signalOf(request);
}
