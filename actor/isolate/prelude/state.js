/* ctx: what a class is constructed with. */
import * as channel from "./channel.js";
import * as gate from "./gate.js";
import * as lifecycle from "./lifecycle.js";
import * as sockets from "./sockets.js";
import { ActorTimers } from "./actor_timers.js";
import { DurableObjectStorage } from "./storage.js";
import { clearDeadline, setDeadline } from "./timers.js";
import { uncloneable } from "./clone.js";

const BLOCK_MS_MAX = 30000;

export class DurableObjectState {
    #id;
    #storage;
    #timers = null;

    constructor(id) {
        this.#id = id;
        this.#storage = new DurableObjectStorage();
        this.props = {};
        this.exports = {};
    }

    get id() {
        return this.#id;
    }

    get storage() {
        return this.#storage;
    }

    get timers() {
        this.#timers ??= new ActorTimers();
        return this.#timers;
    }

    waitUntil(promise) {
        lifecycle.waitUntil(promise);
    }

    acceptWebSocket(socket, tags) {
        sockets.acceptWebSocket(socket, tags);
    }

    getWebSockets(tag) {
        return sockets.getWebSockets(tag);
    }

    getTags(socket) {
        return sockets.getTags(socket);
    }

    setWebSocketAutoResponse(pair) {
        sockets.setAutoResponse(pair);
    }

    getWebSocketAutoResponse() {
        return sockets.getAutoResponse();
    }

    getWebSocketAutoResponseTimestamp(socket) {
        return sockets.getAutoResponseTimestamp(socket);
    }

    setHibernatableWebSocketEventTimeout(ms) {
        sockets.setEventTimeout(ms);
    }

    getHibernatableWebSocketEventTimeout() {
        return sockets.getEventTimeout();
    }

    /* Whoever throws in it, or takes too long, leaves the actor in a state that nobody knows: it
     * starts anew. */
    async blockConcurrencyWhile(callback) {
        if (typeof callback !== "function") {
            throw new TypeError("blockConcurrencyWhile(): the first argument is not a function");
        }
        gate.block();
        const deadline = setDeadline(BLOCK_MS_MAX, () => {
            lifecycle.abort(new Error(
                "A call to blockConcurrencyWhile() waited for too long. The actor was reset."));
        });
        try {
            return await callback();
        } catch (error) {
            lifecycle.abort(error);
            throw error;
        } finally {
            clearDeadline(deadline);
            gate.unblock();
        }
    }

    abort(reason) {
        const error = reason instanceof Error ? reason
            : new Error(reason === undefined ? "Application called abort() to reset the actor." : String(reason));
        lifecycle.abort(error);
        throw error;
    }
}

Object.defineProperty(DurableObjectState.prototype, uncloneable, { value: true });
