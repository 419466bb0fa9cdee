/* WebSockets to an actor: open when they are given, or an error. */

import { makeWebSocket } from "#websocket";

import { DormouseError } from "./errors.js";
import { pause, pauseMs, type CallOptions, type Connection } from "./exchange.js";

export interface ConnectOptions extends CallOptions {
    protocols?: string | string[] | undefined;
}

/* `ws` says why in an error event, a browser does not. */
function failure(event: Event): DormouseError {
    const { message, error } = event as Event & { message?: string; error?: unknown };
    const status = /Unexpected server response: (\d{3})/.exec(message ?? "");
    return new DormouseError(`The WebSocket could not be opened${message ? `: ${message}` : ""}.`, {
        code: "unreachable", status: status === null ? 0 : Number(status[1]), retryable: status === null || status[1] === "503",
        cause: error,
    });
}

/** Opens a WebSocket; tries again until the deadline where that helps. Its binary messages are ArrayBuffers. */
export async function openSocket(connection: Connection, path: string, options: ConnectOptions): Promise<WebSocket> {
    const deadline = performance.now() + (options.timeoutMs ?? connection.timeoutMs);
    for (let attempt = 0; ; attempt++) {
        try {
            return await openOnce(connection, path, options, deadline - performance.now());
        } catch (error) {
            const waitMs = error instanceof DormouseError ? pauseMs(error, attempt) : 0;
            const mayRepeat = error instanceof DormouseError && error.retryable && connection.retries;
            if (!mayRepeat || performance.now() + waitMs >= deadline) {
                throw error;
            }
            await pause(waitMs, options.signal);
        }
    }
}

function openOnce(connection: Connection, path: string, options: ConnectOptions, leftMs: number): Promise<WebSocket> {
    const make = connection.makeWebSocket ?? makeWebSocket;
    const protocols = typeof options.protocols === "string" ? [options.protocols] : options.protocols ?? [];
    const node = connection.url;
    return new Promise((resolve, reject) => {
        options.signal?.throwIfAborted();
        const socket = make(node.replace(/^http/, "ws") + path, protocols, connection.authorization);
        socket.binaryType = "arraybuffer";
        const stop = (): void => end(options.signal?.reason as Error);
        const timer = setTimeout(() => end(new DormouseError("The WebSocket did not open in time.", { code: "timeout", retryable: true })),
            Math.max(1, leftMs));
        const done = (): void => {
            clearTimeout(timer);
            options.signal?.removeEventListener("abort", stop);
            socket.removeEventListener("open", opened);
        };
        const end = (error: Error): void => {
            done();
            connection.leave(node);
            reject(error);
            socket.close();
        };
        const opened = (): void => {
            done();
            resolve(socket);
        };
        options.signal?.addEventListener("abort", stop, { once: true });
        socket.addEventListener("open", opened);
        // Stays: an error that nobody hears would end a program on Node. A "close" follows it.
        socket.addEventListener("error", (event) => end(failure(event)));
    });
}
