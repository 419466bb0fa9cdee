/* Frames to the daemon, and its answers.
 *
 * Whatever leaves the actor carries the writes before it: the daemon holds it back until they are
 * durable. Reads that wait to be sent together go before any writes do, so that they see the state
 * that they were asked of. */
import { host } from "./host.js";
import * as frames from "./frames.js";
import * as gate from "./gate.js";
import * as reader from "./reader.js";
import * as writer from "./writer.js";
import { Writes } from "./writes.js";
import { encode, read } from "./clone.js";
import { describe, fromAnswer, writeDescribed } from "./errors.js";

const ROOM_BYTES = 4 * 1024 * 1024; /* so much of two things always fits into one frame */

/* What leaves with the next frame. */
export const unsent = new Writes(null);

/* A run of one-shot code: its writes leave with its result or not at all. */
let withholds = false;

export function withholdWrites() {
    withholds = true;
}

export function doesWithholdWrites() {
    return withholds;
}

let flushReads = () => {};

export function onFlushReads(flush) {
    flushReads = flush;
}

function takeWrites() {
    if (withholds) {
        writer.nil();
    } else {
        unsent.take();
    }
}

/* asks under way, by number: {isStorage, closesGate, answered(), failed(error)} */
const asks = new Map();
let lastAsk = 0;
let outside = 0; /* asks that are not of storage */

export function asksPending() {
    return asks.size;
}

export function storageAsksPending() {
    return asks.size - outside;
}

function sendAsk(number, type, args, withWrites) {
    const from = writer.mark();
    try {
        writer.arrayHead(5);
        writer.number(frames.ASK);
        writer.number(number);
        writer.string(type);
        encode(args);
        if (withWrites) {
            makeWay(writer.mark() - from);
            takeWrites();
        } else {
            writer.nil();
        }
        writer.send(from);
    } finally {
        writer.reset(from);
    }
}

/* A read of storage. `ask` gets answered(), with the reader at the payload, or failed(error). */
export function askStorage(type, args, ask, closesGate) {
    const number = ++lastAsk;
    sendAsk(number, type, args, false);
    ask.isStorage = true;
    ask.closesGate = closesGate;
    asks.set(number, ask);
    if (closesGate) {
        gate.storageBegins();
    }
}

function promised(send) {
    return new Promise((resolve, reject) => {
        send({ answered: () => resolve(read()), failed: reject });
    });
}

export function storageAnswer(type, args, closesGate) {
    flushReads();
    return promised((ask) => askStorage(type, args, ask, closesGate));
}

/* Something outside of the actor, after all writes so far: its answer waits at the input gate. */
export function outsideAnswer(type, args) {
    return promised((ask) => askOutside(type, args, ask));
}

export function askOutside(type, args, ask) {
    flushReads();
    const number = ++lastAsk;
    sendAsk(number, type, args, true);
    ask.isStorage = false;
    ask.closesGate = false;
    asks.set(number, ask);
    outside++;
    return number;
}

/* Nobody waits for that answer any more. */
export function forget(number) {
    const ask = asks.get(number);
    if (ask !== undefined && !ask.isStorage) {
        asks.delete(number);
        outside--;
    }
}

/* sync: after all writes so far; counts as an operation of storage, but does not close the gate. */
export function syncAnswer() {
    flushReads();
    const number = ++lastAsk;
    sendAsk(number, "sync", null, true);
    return new Promise((resolve, reject) => {
        asks.set(number, {
            isStorage: true, closesGate: false, answered: () => resolve(undefined), failed: reject,
        });
    });
}

/* Frames that came while a synchronous ask was waiting for its own answer. */
const backlog = [];

export function nextOfBacklog() {
    return backlog.shift();
}

export function hasBacklog() {
    return backlog.length > 0;
}

export function pushBacklog(frame) {
    backlog.push(frame.slice());
}

export function answerNow(type, args) {
    flushReads();
    const number = ++lastAsk;
    sendAsk(number, type, args, false);
    for (;;) {
        const frame = host.receive();
        reader.open(frame);
        reader.arrayHead();
        if (reader.uint() === frames.ANSWER && reader.uint() === number) {
            if (reader.bool()) {
                return read();
            }
            throw fromAnswer(read(), true);
        }
        pushBacklog(frame);
    }
}

export function isStorageAnswer(number) {
    return asks.get(number)?.isStorage ?? true;
}

/* The reader is past the number. */
export function takeAnswer(number) {
    const ask = asks.get(number);
    if (ask === undefined) {
        return;
    }
    asks.delete(number);
    if (ask.closesGate) {
        gate.storageEnds();
    }
    if (!ask.isStorage) {
        outside--;
    }
    if (reader.bool()) {
        try {
            ask.answered();
        } catch (error) {
            ask.failed(error); /* a value that a client wrote need not make sense */
        }
    } else {
        ask.failed(fromAnswer(read(), ask.isStorage));
    }
}

/* Lines of the log leave at once: the code after them may never end. */
export function tell(type, args, isUrgent = false) {
    const from = writer.mark();
    try {
        writer.arrayHead(4);
        writer.number(frames.TELL);
        writer.number(0);
        writer.string(type);
        encode(args);
        writer.send(from, isUrgent);
    } finally {
        writer.reset(from);
    }
}

export function flushWrites() {
    if (unsent.isEmpty || withholds) {
        return;
    }
    flushReads();
    const from = writer.mark();
    try {
        writer.arrayHead(3);
        writer.number(frames.WRITE);
        writer.number(0);
        unsent.take();
        writer.send(from);
    } finally {
        writer.reset(from);
    }
}

/* Something that others see: the writes before it go first. */
export function tellAfterWrites(type, args) {
    flushWrites();
    tell(type, args);
}

export function sendReady() {
    sendPlain(frames.READY, undefined);
}

export function sendStarted(info) {
    sendPlain(frames.STARTED, info);
}

function sendPlain(kind, info) {
    const from = writer.mark();
    try {
        writer.arrayHead(info === undefined ? 2 : 3);
        writer.number(kind);
        writer.number(0);
        if (info !== undefined) {
            encode(info);
        }
        writer.send(from);
    } finally {
        writer.reset(from);
    }
}

export function sendFailed(told) {
    const from = writer.mark();
    writer.arrayHead(3);
    writer.number(frames.FAILED);
    writer.number(0);
    writeDescribed(told);
    writer.send(from);
    writer.reset(from);
}

function doneHead(event, isGood) {
    writer.arrayHead(5);
    writer.number(frames.DONE);
    writer.number(event);
    writer.bool(isGood);
}

/* Writes that do not fit into the frame with so much else leave before it. */
function makeWay(bytes) {
    if (bytes > ROOM_BYTES && unsent.bytes > ROOM_BYTES) {
        flushWrites();
    }
}

/* An event has ended with a value. One that cannot be cloned is the event's failure. */
export function sendDone(event, value) {
    flushReads();
    const from = writer.mark();
    try {
        doneHead(event, true);
        const opened = writer.openBin();
        encode(value);
        writer.closeBin(opened);
        makeWay(writer.mark() - from);
        unsent.take();
        writer.send(from);
    } catch (thrown) {
        writer.reset(from);
        sendDoneFailed(event, describe(thrown));
    } finally {
        writer.reset(from);
    }
}

/* An event has ended with a result of its type, made of what a frame can hold. */
export function sendDonePlain(event, result) {
    flushReads();
    const from = writer.mark();
    try {
        doneHead(event, true);
        encode(result);
        makeWay(writer.mark() - from);
        unsent.take();
        writer.send(from);
    } finally {
        writer.reset(from);
    }
}

/* A run has come to its end, or to where it waits: the last writes of its journal; null: none. */
export function sendDoneRun(event, isLast, writes) {
    const from = writer.mark();
    doneHead(event, true);
    writer.bool(isLast);
    encode(writes);
    writer.send(from);
    writer.reset(from);
}

/* What a class wrote before it threw stays written; a run of one-shot code leaves nothing. */
export function sendDoneFailed(event, told) {
    flushReads();
    const from = writer.mark();
    doneHead(event, false);
    writeDescribed(told);
    takeWrites();
    writer.send(from);
    writer.reset(from);
}
