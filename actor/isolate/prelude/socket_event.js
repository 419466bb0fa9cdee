/* Events of WebSockets: what the client of a connection did. */
import * as reader from "./reader.js";
import * as sockets from "./web/socket.js";
import { clearDeadline, setDeadline } from "./timers.js";
import { getEventTimeout } from "./sockets.js";
import { getInstance, handlerOf } from "./instance.js";

/* The class's handler, if it has one, within the time that the actor has set. */
function handle(name, ...args) {
    const handler = handlerOf(name);
    if (handler === null) {
        return undefined;
    }
    const result = handler.apply(getInstance(), args);
    const ms = getEventTimeout();
    return ms === null || !(result instanceof Promise) ? result : within(ms, name, result);
}

async function within(ms, name, result) {
    let deadline;
    const late = new Promise((resolve, reject) => {
        deadline = setDeadline(ms, () => reject(new Error(`${name}() took longer than ${ms} ms.`)));
    });
    try {
        return await Promise.race([result, late]);
    } finally {
        clearDeadline(deadline);
    }
}

export function message() {
    const end = sockets.connectionOf(reader.uint());
    const data = reader.isString() ? reader.string() : reader.bin();
    if (end === undefined) {
        return undefined;
    }
    if (sockets.isHibernatable(end)) {
        return handle("webSocketMessage", end, typeof data === "string" ? data : data.buffer);
    }
    sockets.dispatchMessage(end, data);
    return undefined;
}

export async function close() {
    const end = sockets.connectionOf(reader.uint());
    const code = reader.uint();
    const reason = reader.string();
    const wasClean = reader.bool();
    if (end === undefined) {
        return;
    }
    if (!sockets.isHibernatable(end)) {
        sockets.dispatchClose(end, code, reason, wasClean);
        return;
    }
    try {
        await handle("webSocketClose", end, code, reason, wasClean);
    } finally {
        sockets.closed(end);
    }
}

export async function error() {
    const end = sockets.connectionOf(reader.uint());
    const text = reader.string();
    if (end === undefined) {
        return;
    }
    if (!sockets.isHibernatable(end)) {
        sockets.dispatchError(end, text);
        return;
    }
    try {
        await handle("webSocketError", end, new Error(text));
    } finally {
        sockets.closed(end);
    }
}
