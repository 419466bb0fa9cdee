/* Node's: that of the package `ws`, which is bundled with this file. Node 20 has none of its own, and the one of
 * later versions sends no headers that the standard does not know. */

// @ts-expect-error -- it has no types of its own, and those of others would be one more package
import { WebSocket as Ws } from "ws";

interface Pausable extends WebSocket {
    pause(): void;
    resume(): void;
}

export function makeWebSocket(url: string, protocols: string[], headers: Record<string, string>): WebSocket {
    const socket = new (Ws as new (url: string, protocols: string[], options: object) => Pausable)(url, protocols, {
        headers, perMessageDeflate: false, maxPayload: 24 << 20, handshakeTimeout: 30_000,
    });
    // What came with the handshake is a message before any promise of "open" has been heard: in a browser it is not.
    socket.addEventListener("open", () => {
        socket.pause();
        setImmediate(() => socket.resume());
    });
    return socket;
}
