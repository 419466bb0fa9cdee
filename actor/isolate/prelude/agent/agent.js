/* Agent: a Durable Object class with a state that its clients follow, methods that they may call, schedules, a
 * queue, and the messages of a conversation. It speaks the public protocol of the npm package `agents`.
 *
 * What it keeps has keys that begin with "agent:"; so have its timers. */
import * as protocol from "./protocol.js";
import { Connection, connectionOf } from "./connection.js";
import { DurableObject } from "../entrypoints.js";
import { Messages } from "./messages.js";
import { Queue } from "./queue.js";
import { Response } from "../web/response.js";
import { Schedules } from "./schedules.js";
import { URL } from "../web/url.js";
import { WebSocketPair } from "../web/socket.js";
import { apiError } from "../errors.js";
import { crypto } from "../web/crypto/crypto.js";
import { format } from "../inspect.js";
import { log } from "../console.js";
import { partsOf } from "../object_id.js";
import { retry } from "./retry.js";

const STATE_KEY = "agent:state";
const PREFIX = "agent:";

/* Timers of an agent's own; others are those of its class. */
export const takeTimer = Symbol("takeTimer");

/* Values of JSON alone: what a client gets is what was stored. */
function jsonOf(state) {
    const text = JSON.stringify(state);
    if (text === undefined) {
        throw new TypeError("The state of an agent is a value of JSON.");
    }
    return text;
}

export class Agent extends DurableObject {
    #state;
    #hasState = false;
    #schedules;
    #queue;
    #messages;

    constructor(ctx, env) {
        super(ctx, env);
        this.#schedules = new Schedules(this, ctx);
        this.#queue = new Queue(this, ctx);
        this.#messages = new Messages(ctx);
        ctx.blockConcurrencyWhile(async () => {
            const stored = await ctx.storage.get(STATE_KEY);
            if (stored !== undefined) {
                this.#state = stored;
                this.#hasState = true;
            }
            await this.onStart();
        });
    }

    get name() {
        return this.ctx.id.name ?? this.ctx.id.toString();
    }

    /* State */

    get state() {
        return this.#hasState ? this.#state : this.initialState;
    }

    setState(state) {
        this.#change(state, "server");
    }

    #change(state, source) {
        const kept = JSON.parse(jsonOf(state));
        this.validateStateChange(kept, source);
        this.#state = kept;
        this.#hasState = true;
        this.ctx.storage.put(STATE_KEY, kept);
        protocol.sendState(this, kept, source === "server" ? [] : [source.id]);
        this.#tell(() => this.onStateUpdate(kept, source));
        this.#tell(() => this.onStateChanged(kept, source));
    }

    /* What a hook throws is the agent's own affair: the state is as it was set. */
    #tell(hook) {
        try {
            Promise.resolve(hook()).catch((error) => this.onError(error));
        } catch (error) {
            this.onError(error);
        }
    }

    /* Hooks of a class */

    onStart() {}
    onConnect(_connection, _context) {}
    onMessage(_connection, _message) {}
    onClose(_connection, _code, _reason, _wasClean) {}
    onStateUpdate(_state, _source) {}
    onStateChanged(_state, _source) {}
    validateStateChange(_state, _source) {}

    onRequest(_request) {
        return new Response("Not implemented", { status: 404 });
    }

    onError(connectionOrError, error) {
        log("error", format([error ?? connectionOrError]));
    }

    getConnectionTags(_connection, _context) {
        return [];
    }

    shouldConnectionBeReadonly(_connection, _context) {
        return false;
    }

    shouldSendProtocolMessages(_connection, _context) {
        return true;
    }

    /* Connections */

    *getConnections(tag) {
        for (const socket of this.ctx.getWebSockets(tag)) {
            yield connectionOf(socket);
        }
    }

    getConnection(id) {
        const [socket] = this.ctx.getWebSockets(String(id));
        return socket === undefined ? undefined : connectionOf(socket);
    }

    broadcast(message, without = []) {
        for (const connection of this.getConnections()) {
            if (!without.includes(connection.id)) {
                connection.sendIfOpen(message);
            }
        }
    }

    setConnectionReadonly(connection, isReadonly = true) {
        connection.setReadonly(isReadonly);
    }

    isConnectionReadonly(connection) {
        return connection.isReadonly;
    }

    async fetch(request) {
        if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
            return await this.onRequest(request);
        }
        const [client, server] = Object.values(new WebSocketPair());
        const id = new URL(request.url).searchParams.get("_pk") || crypto.randomUUID();
        const connection = new Connection(server, id, request.url);
        const context = { request };
        const tags = [...await this.getConnectionTags(connection, context)];
        this.ctx.acceptWebSocket(server, [id, ...tags.filter((tag) => tag !== id)]);
        connection.begin(this.shouldConnectionBeReadonly(connection, context),
                         this.shouldSendProtocolMessages(connection, context));
        protocol.greet(this, partsOf(this.ctx.id).className, connection);
        await this.onConnect(connection, context);
        return new Response(null, { status: 101, webSocket: client });
    }

    async webSocketMessage(socket, message) {
        const connection = connectionOf(socket);
        const change = (state) => this.#change(state, connection);
        if (!await protocol.take(this, connection, message, change)) {
            await this.onMessage(connection, message);
        }
    }

    async webSocketClose(socket, code, reason, wasClean) {
        await this.onClose(connectionOf(socket), code, reason, wasClean);
    }

    async webSocketError(socket, error) {
        await this.onError(connectionOf(socket), error);
    }

    /* Later */

    schedule(when, callback, payload, options) {
        return this.#schedules.add(when, callback, payload, options);
    }

    scheduleEvery(seconds, callback, payload, options) {
        return this.#schedules.addEvery(seconds, callback, payload, options);
    }

    getSchedule(id) {
        return this.#schedules.get(id);
    }

    getScheduleById(id) {
        return this.#schedules.get(id);
    }

    getSchedules(criteria) {
        return this.#schedules.list(criteria);
    }

    listSchedules(criteria) {
        return this.#schedules.list(criteria);
    }

    cancelSchedule(id) {
        return this.#schedules.cancel(id);
    }

    queue(callback, payload, options) {
        return this.#queue.add(callback, payload, options);
    }

    dequeue(id) {
        return this.#queue.remove(id);
    }

    dequeueAll() {
        return this.#queue.clear();
    }

    getQueue(id) {
        return this.#queue.get(id);
    }

    getQueues() {
        return this.#queue.list();
    }

    retry(run, options) {
        return retry(run, options);
    }

    get messages() {
        return this.#messages;
    }

    /* Ends it for good: nothing that it kept is left. */
    async destroy() {
        await this.#schedules.clear();
        await this.#queue.clear();
        for (const connection of this.getConnections()) {
            connection.close(1000, "The agent was destroyed");
        }
        await this.ctx.storage.deleteAll();
    }

    sql() {
        throw apiError("not_implemented", "not_implemented: agent.sql; use ctx.storage or agent.messages");
    }

    [takeTimer](name) {
        if (!name.startsWith(PREFIX)) {
            return undefined;
        }
        return () => this.#schedules.isTimer(name) ? this.#schedules.fire(name) : this.#queue.drain();
    }
}
