/* fetch, to the world and to other actors. */
import * as channel from "../channel.js";
import { IncomingStream } from "../incoming.js";
import { Request, requestSignal, requestSocket } from "./request.js";
import { forwardedSocket } from "./socket.js";
import { apiError, notImplemented } from "../errors.js";
import { incomingResponse } from "./response.js";
import { pairsOf } from "./headers.js";
import { read } from "../clone.js";
import { takeBytes } from "./body.js";

const BODY_BYTES_MAX = 16 * 1024 * 1024;

function cancelStream(stream) {
    channel.tell("cancel", [null, stream]);
}

/* Waits for the answer of an ask, unless the signal aborts it first. `make` reads the payload; the signal is
 * passed on to it, for the body. */
function aborting(type, args, signal, make) {
    return new Promise((resolve, reject) => {
        let number = 0;
        const onAbort = () => {
            channel.forget(number);
            channel.tell("cancel", [number, null]);
            reject(signal.reason);
        };
        number = channel.askOutside(type, args, {
            answered() {
                signal?.removeEventListener("abort", onAbort);
                resolve(make(read(), signal));
            },
            failed(error) {
                signal?.removeEventListener("abort", onAbort);
                reject(error);
            },
        });
        signal?.addEventListener("abort", onAbort, { once: true });
    });
}

function bodyOf(bytes, stream, signal) {
    if (stream === null || stream === undefined) {
        return bytes ?? null;
    }
    const onAbort = () => body.abort(signal.reason);
    const body = new IncomingStream(stream, cancelStream, () => signal?.removeEventListener("abort", onAbort));
    signal?.addEventListener("abort", onAbort, { once: true });
    return body;
}

/* The parts of a request that leave with its ask. */
async function partsOf(request) {
    const bytes = await takeBytes(request);
    if (bytes !== null && bytes.length > BODY_BYTES_MAX) {
        throw apiError("too_large", `The body of a request cannot be larger than ${BODY_BYTES_MAX} bytes.`, RangeError);
    }
    return [request.method, request.url, pairsOf(request.headers), bytes];
}

export async function fetch(input, init) {
    const request = input instanceof Request && init === undefined ? input : new Request(input, init);
    const signal = requestSignal(request);
    signal?.throwIfAborted();
    if (request.headers.get("upgrade")?.toLowerCase() === "websocket") {
        throw notImplemented("outgoing WebSockets");
    }
    if (!/^https?:/.test(request.url)) {
        throw new TypeError(`Fetch API cannot load: ${request.url}`);
    }
    const parts = await partsOf(request);
    const make = ([status, statusText, headers, url, redirected, stream], of) => incomingResponse({
        status, statusText, headers, url, redirected, body: bodyOf(null, stream, of),
    });
    return aborting("fetch", [...parts, request.redirect], signal, make);
}

/* fetch of a stub. A request that asks for a WebSocket takes that of its event along. */
export async function fetchActor(className, hex, name, input, init) {
    const request = input instanceof Request && init === undefined ? input : new Request(input, init);
    const signal = requestSignal(request);
    signal?.throwIfAborted();
    const parts = await partsOf(request);
    parts[1] = parts[1].split("#", 1)[0];
    const socket = requestSocket(request);
    if (socket === null && request.headers.get("upgrade")?.toLowerCase() === "websocket") {
        throw notImplemented("WebSockets that an actor opens to another");
    }
    const make = ([status, headers, bytes, stream, isAccepted], of) => incomingResponse({
        status, statusText: "", headers, url: request.url, redirected: false,
        body: request.method === "HEAD" ? null : bodyOf(bytes, stream, of), webSocket: isAccepted === true ? forwardedSocket(socket) : null,
    });
    return aborting("fetch_actor", [className, hex ?? null, name ?? null, ...parts, socket], signal, make);
}

