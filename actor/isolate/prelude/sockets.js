/* Hibernatable WebSockets: those of ctx.acceptWebSocket, whose events the class's handlers hear, and
 * which stay open while the actor sleeps. */
import * as channel from "./channel.js";
import * as sockets from "./web/socket.js";

const TAGS_MAX = 10;
const TAG_CHARACTERS_MAX = 256;
const SOCKETS_MAX = 32768;
const EVENT_TIMEOUT_MS_MAX = 7 * 24 * 3600 * 1000;

let auto = null;
let eventTimeout = null;

/* Those of an owner before this one, which find the actor awake. */
export function socketsCame(list) {
    for (const [id, tags, attachment] of list) {
        sockets.restore(id, tags, attachment);
    }
}

export function restoreSockets(list, autoResponse) {
    socketsCame(list);
    auto = autoResponse ? new sockets.WebSocketRequestResponsePair(...autoResponse) : null;
}

function checkTags(tags) {
    const unique = [...new Set([...tags].map(String))];
    if (unique.length > TAGS_MAX) {
        throw new RangeError(`A WebSocket has at most ${TAGS_MAX} tags.`);
    }
    for (const tag of unique) {
        if (tag.length > TAG_CHARACTERS_MAX) {
            throw new RangeError(`A tag has at most ${TAG_CHARACTERS_MAX} characters.`);
        }
        if (tag === "") {
            throw new TypeError("A tag cannot be empty.");
        }
    }
    return unique;
}

function checkSocket(socket) {
    if (!(socket instanceof sockets.WebSocket)) {
        throw new TypeError("The argument is not a WebSocket.");
    }
    return socket;
}

export function acceptWebSocket(socket, tags = []) {
    checkSocket(socket);
    const checked = checkTags(tags);
    if (sockets.connectionCount() >= SOCKETS_MAX) {
        throw new RangeError(`An actor has at most ${SOCKETS_MAX} WebSockets.`);
    }
    sockets.acceptHibernatable(socket, checked);
}

export function getWebSockets(tag) {
    return sockets.hibernatableSockets(tag === undefined ? undefined : String(tag));
}

export function getTags(socket) {
    if (!sockets.isHibernatable(checkSocket(socket))) {
        throw new TypeError("You must call acceptWebSocket() before you can get the tags of a WebSocket.");
    }
    return [...sockets.tagsOf(socket)];
}

export function setAutoResponse(pair) {
    if (pair !== undefined && pair !== null && !(pair instanceof sockets.WebSocketRequestResponsePair)) {
        throw new TypeError("The argument is not a WebSocketRequestResponsePair.");
    }
    auto = pair ?? null;
    channel.tell("auto", auto === null ? null : [auto.request, auto.response]);
}

export function getAutoResponse() {
    return auto;
}

/* When the runtime last answered that socket by itself: only the daemon knows. */
export function getAutoResponseTimestamp(socket) {
    const id = sockets.connectionId(checkSocket(socket));
    if (auto === null || id === null) {
        return null;
    }
    const ms = channel.answerNow("auto_time", [id]);
    return ms === null ? null : new Date(ms);
}

export function setEventTimeout(ms) {
    if (ms === undefined || ms === null || Number(ms) === 0) {
        eventTimeout = null;
        return;
    }
    const number = Math.trunc(Number(ms));
    if (!(number > 0 && number <= EVENT_TIMEOUT_MS_MAX)) {
        throw new RangeError(`Event timeout should not exceed ${EVENT_TIMEOUT_MS_MAX} ms.`);
    }
    eventTimeout = number;
}

export function getEventTimeout() {
    return eventTimeout;
}
