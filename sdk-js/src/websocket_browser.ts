/* A browser's WebSocket: it sends no headers, so no token. */

import { refused } from "./errors.js";

export function makeWebSocket(url: string, protocols: string[], headers: Record<string, string>): WebSocket {
    if (Object.keys(headers).length > 0) {
        throw refused("A browser's WebSocket cannot carry a token: give the client's options a `WebSocket` of its own.");
    }
    return new WebSocket(url, protocols);
}
