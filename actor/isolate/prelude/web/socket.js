/* WebSocket and WebSocketPair.
 *
 * A pair has two ends; what is sent at one arrives at the other. When an end is returned in a response
 * it is bound to the client's connection: what arrives there goes to the client, and what the client
 * sends arrives at the other end.
 *
 *     FRESH --accept()--> ACCEPTED        events are dispatched here
 *       |  --acceptWebSocket()--> HIBERNATABLE   the class's handlers hear them
 *       +--in a response--> BOUND         it is the client's connection
 *
 * What arrives at a FRESH end waits. Nothing is sent to a client before the response that binds it. */
import * as channel from "../channel.js";
import * as lifecycle from "../lifecycle.js";
import { Blob } from "./blob.js";
import { CloseEvent, ErrorEvent, EventTarget, MessageEvent, defineHandlers } from "./event.js";
import { copyOf, isBytes } from "./bytes.js";
import { decode, encodeCopy } from "../clone.js";
import { host } from "../host.js";
import { notImplemented } from "../errors.js";

const FRESH = 0;
const ACCEPTED = 1;
const HIBERNATABLE = 2;
const BOUND = 3;

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const ATTACHMENT_BYTES_MAX = 16 * 1024;
const REASON_BYTES_MAX = 123;

const key = Symbol("WebSocket");

/* The ends that clients' connections lead to, by number of the connection. */
const connections = new Map();

/* A connection from before the actor slept: it becomes an end when somebody wants it. */
class Sleeping {
    constructor(tags, attachment) {
        this.tags = tags;
        this.attachment = attachment;
    }
}

function awake(id, found) {
    if (!(found instanceof Sleeping)) {
        return found;
    }
    const [client, server] = makePair();
    Object.assign(inside(client), { mode: BOUND, id, isReady: true });
    Object.assign(inside(server), { mode: HIBERNATABLE, tags: found.tags, attachment: found.attachment });
    connections.set(id, server);
    return server;
}

export function connectionOf(id) {
    return awake(id, connections.get(id));
}

export function connectionCount() {
    return connections.size;
}

/* Those with the tag, or all where it is undefined. */
export function hibernatableSockets(tag) {
    const found = [];
    for (const [id, one] of connections) {
        const isHibernatable = one instanceof Sleeping || inside(one).mode === HIBERNATABLE;
        const { tags } = one instanceof Sleeping ? one : inside(one);
        if (isHibernatable && (tag === undefined || tags.includes(tag))) {
            found.push(awake(id, one));
        }
    }
    return found;
}

let inside; /* the private parts of an end, for this file and sockets.js */

export class WebSocket extends EventTarget {
    /* mode, state, peer; of a bound end the id of its connection, and whether the response has left
     * (isReady); what arrived and waits; tags; the attachment, a document or null */
    #in = null;

    static {
        inside = (end) => end.#in;
    }

    constructor(proof) {
        if (proof !== key) {
            throw notImplemented("outgoing WebSockets");
        }
        super();
        this.#in = {
            mode: FRESH, state: OPEN, peer: null, id: null, waiting: [], tags: [], attachment: null,
            isCloseSent: false, binaryType: "arraybuffer", isReady: false, isForwarded: false,
        };
    }

    get readyState() {
        return this.#in.state;
    }

    get url() {
        return null;
    }

    get protocol() {
        return "";
    }

    get extensions() {
        return "";
    }

    get binaryType() {
        return this.#in.binaryType;
    }

    set binaryType(type) {
        if (type === "arraybuffer" || type === "blob") {
            this.#in.binaryType = type;
        }
    }

    accept() {
        if (this.#in.mode === ACCEPTED) {
            return;
        }
        accept(this, ACCEPTED, []);
        lifecycle.socketOpens();
        for (const arrived of this.#in.waiting.splice(0)) {
            later(() => arrived(this));
        }
    }

    send(data) {
        const { mode, state, peer } = this.#in;
        if (mode !== ACCEPTED && mode !== HIBERNATABLE) {
            throw new TypeError("You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.");
        }
        if (state !== OPEN || this.#in.isCloseSent) {
            throw new TypeError("Can't call WebSocket send() after close().");
        }
        const message = data instanceof Blob || !isBytes(data) ? String(data) : copyOf(data);
        arrive(peer, (end) => dispatchMessage(end, message), () => ["send", message]);
    }

    close(code, reason) {
        checkClose(code, reason);
        const { mode, state, peer } = this.#in;
        if (mode !== ACCEPTED && mode !== HIBERNATABLE) {
            throw new TypeError("You must call one of accept() or state.acceptWebSocket() on this WebSocket before closing it.");
        }
        if (this.#in.isCloseSent || state === CLOSED) {
            return;
        }
        this.#in.isCloseSent = true;
        this.#in.state = CLOSING;
        const told = [code ?? 1005, reason === undefined ? "" : String(reason)];
        arrive(peer, (end) => dispatchClose(end, ...told, true), () => ["close", ...told]);
    }

    serializeAttachment(value) {
        const document = encodeCopy(value);
        if (document.length > ATTACHMENT_BYTES_MAX) {
            throw new RangeError(`A WebSocket attachment cannot be larger than ${ATTACHMENT_BYTES_MAX} bytes.`);
        }
        this.#in.attachment = document;
        tellAttachment(this);
    }

    deserializeAttachment() {
        return this.#in.attachment === null ? null : decode(this.#in.attachment);
    }
}

for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED })) {
    for (const one of [name, `READY_STATE_${name}`]) {
        Object.defineProperty(WebSocket, one, { value, enumerable: true });
        Object.defineProperty(WebSocket.prototype, one, { value, enumerable: true });
    }
}

defineHandlers(WebSocket, ["open", "message", "close", "error"]);

const settled = Promise.resolve();

function later(run) {
    settled.then(run);
}

function checkClose(code, reason) {
    if (code === undefined) {
        if (reason !== undefined) {
            throw new TypeError("If you specify a WebSocket close reason, you must also specify a code.");
        }
        return;
    }
    const number = Number(code);
    if (!Number.isInteger(number) || number < 1000 || number > 4999 || [1004, 1005, 1006, 1015].includes(number)) {
        throw new TypeError(`Invalid WebSocket close code: ${code}.`);
    }
    if (reason !== undefined && host.encode(String(reason)).length > REASON_BYTES_MAX) {
        throw new TypeError(`A WebSocket close reason cannot be larger than ${REASON_BYTES_MAX} bytes.`);
    }
}

/* Something comes out at an end: it is told to the client, or dispatched, or it waits. */
function arrive(end, dispatch, telling) {
    const { mode, id, isReady, waiting } = inside(end);
    if (mode === BOUND && isReady) {
        const [type, ...args] = telling();
        channel.tellAfterWrites(type, [id, ...args]);
    } else if (mode === ACCEPTED || mode === HIBERNATABLE) {
        later(() => dispatch(end));
    } else {
        waiting.push(Object.assign((to) => dispatch(to), { telling }));
    }
}

function ends(end, state) {
    const parts = inside(end);
    if (parts.mode === ACCEPTED && parts.state !== CLOSED && state === CLOSED) {
        lifecycle.socketEnds();
    }
    parts.state = state;
    const id = inside(parts.peer).id;
    if (state === CLOSED && id !== null) {
        connections.delete(id);
    }
}

export function dispatchMessage(end, message) {
    const { mode, waiting, binaryType } = inside(end);
    if (mode === FRESH) {
        waiting.push((to) => dispatchMessage(to, message));
        return;
    }
    let data = message;
    if (typeof message !== "string") {
        data = binaryType === "blob" ? new Blob([message]) : message.slice().buffer;
    }
    end.dispatchEvent(new MessageEvent("message", { data }));
}

export function dispatchClose(end, code, reason, wasClean) {
    if (inside(end).mode === FRESH) {
        inside(end).waiting.push((to) => dispatchClose(to, code, reason, wasClean));
        return;
    }
    const isFirst = inside(end).state !== CLOSED;
    const answers = isFirst && !inside(end).isCloseSent;
    ends(end, CLOSED);
    if (isFirst) {
        end.dispatchEvent(new CloseEvent("close", { code, reason, wasClean }));
        if (answers && inside(inside(end).peer).mode !== BOUND) {
            later(() => dispatchClose(inside(end).peer, code, reason, wasClean));
        }
    }
}

export function dispatchError(end, text) {
    if (inside(end).mode === FRESH) {
        inside(end).waiting.push((to) => dispatchError(to, text));
        return;
    }
    const error = new Error(text);
    ends(end, CLOSED);
    end.dispatchEvent(new ErrorEvent("error", { error, message: text }));
}

function tellAttachment(end) {
    const { attachment, peer, mode } = inside(end);
    const { id, isReady } = inside(peer);
    if (attachment !== null && id !== null && isReady && mode === HIBERNATABLE) {
        channel.tell("attach", [id, attachment]);
    }
}

function tellAccepted(end) {
    const { mode, peer, tags } = inside(end);
    channel.tell("accept", [inside(peer).id, tags, mode === HIBERNATABLE]);
}

function accept(end, mode, tags) {
    const parts = inside(end);
    if (parts.mode === BOUND) {
        throw new TypeError("Can't accept() a WebSocket that was already used in a response.");
    }
    if (parts.mode !== FRESH) {
        throw new TypeError("This WebSocket was accepted already.");
    }
    parts.mode = mode;
    parts.tags = tags;
    if (inside(parts.peer).isReady) {
        tellAccepted(end);
        tellAttachment(end);
    }
}

export function acceptHibernatable(end, tags) {
    accept(end, HIBERNATABLE, tags);
}

export function isHibernatable(end) {
    return inside(end)?.mode === HIBERNATABLE;
}

export function tagsOf(end) {
    return inside(end).tags;
}

export function connectionId(end) {
    return inside(inside(end).peer).id;
}

/* The class's handler of its end has run. */
export function closed(end) {
    ends(end, CLOSED);
}

function makePair() {
    const a = new WebSocket(key);
    const b = new WebSocket(key);
    inside(a).peer = b;
    inside(b).peer = a;
    return [a, b];
}

export class WebSocketPair {
    constructor() {
        [this[0], this[1]] = makePair();
    }
}

/* A response is about to leave with that end: it becomes the connection `id`. The two steps are before
 * and after the response: a client hears nothing before it. */
export function bind(end, id) {
    const parts = inside(end);
    if (parts.mode === BOUND && parts.id === id && parts.isForwarded) {
        return; /* another actor has accepted it */
    }
    if (parts.mode !== FRESH) {
        throw new TypeError("Can't return a WebSocket in a response that was accepted or returned already.");
    }
    parts.mode = BOUND;
    parts.id = id;
    connections.set(id, parts.peer);
    if (inside(parts.peer).mode !== FRESH) {
        tellAccepted(parts.peer);
    }
}

export function bound(end) {
    const parts = inside(end);
    if (parts.isForwarded) {
        return;
    }
    parts.isReady = true;
    tellAttachment(parts.peer);
    for (const { telling } of parts.waiting.splice(0)) {
        const [type, ...args] = telling();
        channel.tellAfterWrites(type, [parts.id, ...args]);
    }
}

/* A connection that was accepted before the actor slept. */
export function restore(id, tags, attachment) {
    connections.set(id, new Sleeping(tags, attachment));
}

/* The connection of this event, which another actor has accepted. */
export function forwardedSocket(id) {
    const [end] = makePair();
    Object.assign(inside(end), { mode: BOUND, id, isForwarded: true });
    return end;
}

/* Text that the runtime answers by itself, also while the actor sleeps. */
const AUTO_CHARACTERS_MAX = 2048;

export class WebSocketRequestResponsePair {
    #request;
    #response;

    constructor(request, response) {
        if (arguments.length < 2) {
            throw new TypeError("WebSocketRequestResponsePair: a request and a response");
        }
        this.#request = String(request);
        this.#response = String(response);
        for (const text of [this.#request, this.#response]) {
            if (text.length > AUTO_CHARACTERS_MAX) {
                throw new RangeError(`Request and response cannot be larger than ${AUTO_CHARACTERS_MAX} characters.`);
            }
        }
    }

    get request() {
        return this.#request;
    }

    get response() {
        return this.#response;
    }
}
