/* Response. */
import { Body, copyBody, extractBody } from "./body.js";
import { Headers, immutable } from "./headers.js";
import { WebSocket } from "./socket.js";
import { hrefOf } from "./url.js";
import { uncloneable } from "../clone.js";

const withoutBody = new Set([101, 204, 205, 304]);
const key = Symbol("Response of the network");

function statusOf(status, hasSocket) {
    const number = Math.trunc(Number(status));
    if (number === 101) {
        if (!hasSocket) {
            throw new RangeError("Responses with a WebSocket are those of status code 101, and these need one.");
        }
        return 101;
    }
    if (!(number >= 200 && number <= 599)) {
        throw new RangeError("Responses may only be constructed with status codes in the range 200 to 599, inclusive.");
    }
    return number;
}

function socketOf(init) {
    const socket = init.webSocket ?? null;
    if (socket !== null && !(socket instanceof WebSocket)) {
        throw new TypeError("Response: webSocket is not a WebSocket.");
    }
    return socket;
}

export class Response extends Body {
    #status;
    #statusText;
    #headers;
    #url = "";
    #redirected = false;
    #webSocket = null;
    #type = "default";
    #cf;

    constructor(body = null, init = undefined) {
        if (body === key) {
            super(init.body);
            this.#status = init.status;
            this.#statusText = init.statusText;
            this.#headers = init.headers; /* pairs, until somebody looks at them */
            this.#url = init.url;
            this.#redirected = init.redirected;
            this.#webSocket = init.webSocket ?? null;
            return;
        }
        const options = init ?? {};
        const socket = socketOf(options);
        const status = statusOf(options.status ?? 200, socket !== null);
        const { source, type } = extractBody(body);
        const hasNone = withoutBody.has(status);
        if (hasNone && source !== null && source !== "") {
            throw new TypeError("Response with null body status (101, 204, 205, or 304) cannot have a body.");
        }
        super(hasNone ? null : source);
        this.#status = status;
        this.#statusText = String(options.statusText ?? "");
        if (/[^\t\x20-\x7e\x80-\xff]/.test(this.#statusText)) {
            throw new TypeError("Invalid statusText");
        }
        this.#headers = new Headers(options.headers ?? undefined);
        this.#webSocket = socket;
        this.#cf = options.cf;
        if (type !== null && !this.#headers.has("content-type")) {
            this.#headers.set("content-type", type);
        }
    }

    static json(value, init = undefined) {
        const text = JSON.stringify(value);
        if (text === undefined) {
            throw new TypeError("The value is not JSON serializable");
        }
        const headers = new Headers(init?.headers ?? undefined);
        if (!headers.has("content-type")) {
            headers.set("content-type", "application/json");
        }
        return new Response(text, { ...init, status: init?.status ?? 200, statusText: init?.statusText ?? "", headers });
    }

    static redirect(url, status = 302) {
        if (![301, 302, 303, 307, 308].includes(Number(status))) {
            throw new RangeError(`${status} is not a redirect status code`);
        }
        return new Response(null, { status, headers: { location: hrefOf(String(url)) } });
    }

    static error() {
        const response = new Response(null, { status: 200 });
        response.#status = 0;
        response.#type = "error";
        return response;
    }

    get status() {
        return this.#status;
    }

    get statusText() {
        return this.#statusText;
    }

    get ok() {
        return this.#status >= 200 && this.#status <= 299;
    }

    get headers() {
        if (Array.isArray(this.#headers)) {
            this.#headers = immutable(new Headers(this.#headers));
        }
        return this.#headers;
    }

    get url() {
        return this.#url;
    }

    get redirected() {
        return this.#redirected;
    }

    get type() {
        return this.#type;
    }

    get webSocket() {
        return this.#webSocket;
    }

    get cf() {
        return this.#cf;
    }

    clone() {
        if (this.#webSocket !== null) {
            throw new TypeError("Cannot clone a response to a WebSocket handshake.");
        }
        const copy = new Response(key, {
            body: copyBody(this), status: this.#status, statusText: this.#statusText,
            headers: null, url: this.#url, redirected: this.#redirected,
        });
        copy.#headers = new Headers(this.headers);
        copy.#type = this.#type;
        return copy;
    }

    get [Symbol.toStringTag]() {
        return "Response";
    }
}

Object.defineProperty(Response.prototype, uncloneable, { value: true });

/* A response that has come in: {status, statusText, headers: pairs, url, redirected, body, webSocket}. */
export function incomingResponse(parts) {
    return new Response(key, parts);
}
