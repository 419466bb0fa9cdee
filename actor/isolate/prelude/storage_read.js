/* Reads of single keys. Those that are asked for in one run of code leave as one ask. */
import * as channel from "./channel.js";
import * as reader from "./reader.js";
import { read } from "./clone.js";

const KEYS_PER_ASK = 64;

/* Keys and who waits for them: a value, or a document's presence where `exists`. */
class Batch {
    constructor() {
        this.keys = [];
        this.waiters = [];
        this.closesGate = false;
    }

    answered() {
        const count = reader.arrayHead();
        for (let i = 0; i < count; i++) {
            const length = reader.binHead();
            this.waiters[i].resolve(length < 0 ? undefined : read());
        }
    }

    /* Many large values can be more than a frame: then they are asked for in halves. */
    failed(error) {
        if (error.code !== "too_large" || this.keys.length < 2) {
            this.waiters.forEach((waiter) => waiter.reject(error));
            return;
        }
        const middle = this.keys.length >> 1;
        this.part(0, middle).send();
        this.part(middle, this.keys.length).send();
    }

    part(from, to) {
        const part = new Batch();
        part.keys = this.keys.slice(from, to);
        part.waiters = this.waiters.slice(from, to);
        part.closesGate = this.closesGate;
        return part;
    }

    send() {
        channel.askStorage("get", this.keys, this, this.closesGate);
    }
}

let batch = null;
const settled = Promise.resolve();

function sendBatch() {
    if (batch !== null) {
        const full = batch;
        batch = null;
        full.send();
    }
}

channel.onFlushReads(sendBatch);

/* The value in the store, or undefined; not of what was written since. */
export function readStored(key, closesGate) {
    if (batch === null) {
        batch = new Batch();
        settled.then(sendBatch);
    }
    const mine = batch;
    mine.keys.push(key);
    mine.closesGate ||= closesGate;
    const promise = new Promise((resolve, reject) => mine.waiters.push({ resolve, reject }));
    if (mine.keys.length === KEYS_PER_ASK) {
        sendBatch();
    }
    return promise;
}
