/* fetch events: a request comes in whole, the response leaves whole or in chunks. */
import * as channel from "./channel.js";
import * as reader from "./reader.js";
import { AbortController } from "./web/abort.js";
import { DOMException } from "./web/dom_exception.js";
import { IncomingStream } from "./incoming.js";
import { Response } from "./web/response.js";
import { apiError, describe } from "./errors.js";
import { bind, bound } from "./web/socket.js";
import { fetchEntry, hasEntry } from "./entry.js";
import { getInstance, handlerOf } from "./instance.js";
import { host } from "./host.js";
import { incomingRequest } from "./web/request.js";
import { openOutgoing } from "./outgoing.js";
import { pairsOf } from "./web/headers.js";
import { read } from "./clone.js";
import { takeBody } from "./web/body.js";
import { viewOf } from "./web/bytes.js";

const WHOLE_BYTES_MAX = 16 * 1024 * 1024;

/* Of events that a client may still cancel: {socket, controller or null, stream or null}. */
const open = new Map();

function cancelError() {
    return new DOMException("The client has disconnected", "AbortError");
}

/* Headers of the connection stay with it: that a socket is asked for is told apart, and shown as usual. */
function withUpgrade(headers) {
    const others = headers.filter(([name]) => name !== "upgrade" && name !== "connection");
    return [...others, ["connection", "Upgrade"], ["upgrade", "websocket"]];
}

/* The reader is past the type. Gives what the handler gives. */
export function run(event) {
    const method = reader.string();
    const url = reader.string();
    const headers = read();
    const body = reader.bin();
    const socket = reader.isNil() ? null : reader.uint();
    const state = { socket, controller: null, stream: null };
    open.set(event, state);
    const request = incomingRequest({
        method, url, body, socket,
        headers: socket === null ? headers : withUpgrade(headers),
        signal: null,
        makeSignal() {
            state.controller ??= new AbortController();
            return state.controller.signal;
        },
    });
    if (hasEntry()) {
        return fetchEntry(request);
    }
    const handler = handlerOf("fetch");
    if (handler === null) {
        throw apiError("no_such_method", "Handler does not export a fetch() function.", TypeError);
    }
    return handler.call(getInstance(), request);
}

async function pumpIncoming(source, stream) {
    stream.onCancel = () => source.cancel();
    for (let chunk = await source.read(); chunk !== null; chunk = await source.read()) {
        await stream.write(chunk);
    }
}

async function pumpReadable(source, stream) {
    const chunks = source.getReader();
    stream.onCancel = () => chunks.cancel(cancelError()).catch(() => {});
    for (;;) {
        const { done, value } = await chunks.read();
        if (done || stream.isCancelled) {
            return;
        }
        const bytes = typeof value === "string" ? null : viewOf(value, "A chunk of the body");
        if (bytes === null) {
            throw new TypeError("The body of a response is a stream of bytes, and this one gave a string.");
        }
        await stream.write(bytes);
    }
}

async function pump(event, source, stream) {
    try {
        await (source instanceof IncomingStream ? pumpIncoming(source, stream)
            : source instanceof Uint8Array ? stream.write(source) : pumpReadable(source, stream));
        stream.end();
    } catch (error) {
        stream.fail(describe(error).message);
    } finally {
        open.delete(event);
    }
}

/* The response leaves. Throws where it cannot; then nothing has left. */
export function respond(event, response) {
    const state = open.get(event);
    if (!(response instanceof Response)) {
        throw new TypeError("Incorrect type for Promise: the handler did not return a Response.");
    }
    const socket = response.webSocket;
    if (socket !== null && state.socket === null) {
        throw new TypeError("The response has a WebSocket, but the request did not ask for one.");
    }
    let source = takeBody(response);
    if (typeof source === "string") {
        source = host.encode(source);
    }
    if (socket !== null) {
        bind(socket, state.socket);
    }
    const isWhole = source === null || (source instanceof Uint8Array && source.length <= WHOLE_BYTES_MAX);
    const stream = isWhole ? null : openOutgoing();
    channel.sendDonePlain(event, [
        response.status, pairsOf(response.headers), isWhole ? source : null, stream?.id ?? null, socket !== null,
    ]);
    if (socket !== null) {
        bound(socket);
    }
    if (stream === null) {
        open.delete(event);
    } else {
        state.stream = stream;
        pump(event, source, stream);
    }
}

/* It has failed. */
export function ended(event) {
    open.delete(event);
}

/* Its client went away. */
export function cancelled(event) {
    const state = open.get(event);
    if (state !== undefined) {
        state.controller?.abort(cancelError());
        state.stream?.cancel();
    }
}
