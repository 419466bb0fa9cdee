/* A client's connection to an agent: its WebSocket, with what is remembered of it while the agent sleeps. */
import { WebSocket } from "../web/socket.js";

const known = new WeakMap(); /* by socket */

export class Connection {
    #socket;
    #kept; /* {id, uri, state, isReadonly, hasProtocol}: the attachment */

    constructor(socket, id, uri) {
        this.#socket = socket;
        this.#kept = { id, uri, state: null, isReadonly: false, hasProtocol: true };
        known.set(socket, this);
    }

    static restored(socket) {
        const kept = socket.deserializeAttachment();
        const connection = new Connection(socket, kept?.id, kept?.uri);
        connection.#kept = { ...connection.#kept, ...kept };
        return connection;
    }

    begin(isReadonly, hasProtocol) {
        this.#kept.isReadonly = Boolean(isReadonly);
        this.#kept.hasProtocol = Boolean(hasProtocol);
        this.#keep();
    }

    #keep() {
        this.#socket.serializeAttachment(this.#kept);
    }

    get id() {
        return this.#kept.id;
    }

    get uri() {
        return this.#kept.uri;
    }

    get state() {
        return this.#kept.state;
    }

    setState(state) {
        this.#kept.state = (typeof state === "function" ? state(this.#kept.state) : state) ?? null;
        this.#keep();
        return this.#kept.state;
    }

    get isReadonly() {
        return this.#kept.isReadonly;
    }

    setReadonly(isReadonly) {
        this.#kept.isReadonly = Boolean(isReadonly);
        this.#keep();
    }

    get hasProtocol() {
        return this.#kept.hasProtocol;
    }

    get readyState() {
        return this.#socket.readyState;
    }

    get socket() {
        return this.#socket;
    }

    send(message) {
        this.#socket.send(message);
    }

    /* To many at a time: one that is closing is none of them. */
    sendIfOpen(message) {
        if (this.#socket.readyState === WebSocket.OPEN) {
            this.#socket.send(message);
        }
    }

    close(code, reason) {
        this.#socket.close(code, reason);
    }
}

export function connectionOf(socket) {
    return known.get(socket) ?? Connection.restored(socket);
}
