/* ctx.storage: the keys and the alarm of the actor.
 *
 * Writes are cloned at once and held here; they leave with the next frame that lets anything out. So
 * a put costs no message of its own, and all that is written without waiting is one batch. */
import * as channel from "./channel.js";
import * as overlay from "./overlay.js";
import * as transactions from "./transaction.js";
import { apiError, notImplemented } from "./errors.js";
import { checkKey, compareKeys } from "./storage_key.js";
import { decode, encodeCopy, uncloneable } from "./clone.js";
import { list } from "./storage_list.js";
import { readStored } from "./storage_read.js";
import { sizeOf } from "./writes.js";
import { StorageKv } from "./storage_kv.js";

export const VALUE_BYTES_MAX = 2 * 1024 * 1024;
export const WRITES_BYTES_MAX = 16 * 1024 * 1024;

/* What this actor's code may do with it, and whether the class can hear an alarm. */
export const rights = { read: true, write: true, hasAlarm: true };

export function refuseWrite() {
    return apiError("forbidden", "This code was not given the right to write to storage.");
}

function refuseRead() {
    return apiError("forbidden", "This code was not given the right to read storage.");
}

export function checkRead() {
    if (!rights.read) {
        throw refuseRead();
    }
}

export function checkWrite() {
    if (!rights.write) {
        throw refuseWrite();
    }
}

/* The document of a value that may be stored. */
export function documentOf(key, value) {
    const document = encodeCopy(value);
    if (document.length > VALUE_BYTES_MAX) {
        throw apiError("too_large", `Values cannot be larger than ${VALUE_BYTES_MAX} bytes.`, RangeError);
    }
    return document;
}

/* Makes room for so many bytes more. What has no right to leave yet is bounded; the rest leaves, and
 * true says that the writer is to wait until the disk has caught up. */
export function makeRoom(bytes) {
    const writes = overlay.writes();
    if (writes.bytes + bytes <= WRITES_BYTES_MAX) {
        return false;
    }
    if (overlay.isInTransaction() || channel.doesWithholdWrites()) {
        throw apiError("too_large", `What is written at once cannot be larger than ${WRITES_BYTES_MAX} bytes.`,
                       RangeError);
    }
    channel.flushWrites();
    return true;
}

function putDocuments(documents) {
    let mustWait = false;
    for (const [key, document] of documents) {
        mustWait = makeRoom(sizeOf(key, document)) || mustWait;
        overlay.writes().set(key, document);
    }
    return mustWait ? channel.syncAnswer() : Promise.resolve();
}

function documentsOf(entries) {
    const documents = [];
    for (const key of Object.keys(entries)) {
        const value = entries[key];
        if (value !== undefined) {
            documents.push([checkKey(key), documentOf(key, value)]);
        }
    }
    return documents;
}

export function getOne(key, options) {
    key = checkKey(key);
    const found = overlay.writes().lookup(key);
    if (found !== undefined) {
        return Promise.resolve(found === null ? undefined : decode(found));
    }
    return readStored(key, options?.allowConcurrency !== true);
}

async function getMany(keys, options) {
    const sorted = [...new Set(keys.map(checkKey))].sort(compareKeys);
    const values = await Promise.all(sorted.map((key) => getOne(key, options)));
    const found = new Map();
    sorted.forEach((key, i) => {
        if (values[i] !== undefined) {
            found.set(key, values[i]);
        }
    });
    return found;
}

/* Whether it was there; it is gone at once. */
function deleteOne(key, options) {
    key = checkKey(key);
    const writes = overlay.writes();
    const found = writes.lookup(key);
    const existed = found === undefined
        ? readStored(key, options?.allowConcurrency !== true).then((value) => value !== undefined)
        : found !== null;
    makeRoom(sizeOf(key, null));
    writes.set(key, null);
    return existed;
}

async function deleteMany(keys, options) {
    const unique = [...new Set(keys.map(checkKey))];
    const existed = await Promise.all(unique.map((key) => deleteOne(key, options)));
    return existed.filter(Boolean).length;
}

function alarmTime(time) {
    const ms = time instanceof Date ? time.getTime() : Number(time);
    if (!Number.isFinite(ms) || ms <= 0) {
        throw new TypeError("setAlarm() cannot be called with an alarm time <= 0");
    }
    if (!rights.hasAlarm) {
        throw new TypeError(
            "Your Durable Object class must have an alarm() handler in order to call setAlarm()");
    }
    return Math.max(Math.floor(ms), Date.now());
}

/* While the alarm's handler runs, the alarm that it is of is no more, though the daemon keeps it
 * until the handler has ended. */
let isAlarmConsumed = false;

export function consumeAlarm(isConsumed) {
    isAlarmConsumed = isConsumed;
}

/* Methods that ctx.storage and the argument of transaction() share. What they throw they reject. */
class StorageOperations {
    get(keys, options) {
        try {
            checkRead();
            return Array.isArray(keys) ? getMany(keys, options) : getOne(keys, options);
        } catch (error) {
            return Promise.reject(error);
        }
    }

    put(key, value, options) {
        try {
            checkWrite();
            if (typeof key === "object" && key !== null) {
                return putDocuments(documentsOf(key));
            }
            if (value === undefined) {
                throw new TypeError("put() called with undefined value.");
            }
            key = checkKey(key);
            const document = documentOf(key, value);
            if (makeRoom(sizeOf(key, document))) {
                overlay.writes().set(key, document);
                return channel.syncAnswer();
            }
            overlay.writes().set(key, document);
            return Promise.resolve();
        } catch (error) {
            return Promise.reject(error);
        }
    }

    async delete(keys, options) {
        checkWrite();
        return Array.isArray(keys) ? deleteMany(keys, options) : deleteOne(keys, options);
    }

    async list(options) {
        checkRead();
        return list(options);
    }

    async getAlarm(options) {
        checkRead();
        const written = overlay.writes().lookupAlarm();
        if (written !== undefined) {
            return written;
        }
        return isAlarmConsumed ? null
            : channel.storageAnswer("alarm", null, options?.allowConcurrency !== true);
    }

    async setAlarm(time, options) {
        checkWrite();
        overlay.writes().alarm = alarmTime(time);
        isAlarmConsumed = false;
    }

    async deleteAlarm(options) {
        checkWrite();
        overlay.writes().alarm = null;
    }
}

Object.defineProperty(StorageOperations.prototype, uncloneable, { value: true });

/* The argument of transaction(). */
export class DurableObjectTransaction extends StorageOperations {
    #transaction;

    constructor(transaction) {
        super();
        this.#transaction = transaction;
    }

    rollback() {
        this.#transaction.rollback();
    }

    deleteAll() {
        throw new TypeError("deleteAll() cannot be called in a transaction.");
    }

    static {
        for (const operation of ["get", "put", "delete", "list", "getAlarm", "setAlarm", "deleteAlarm"]) {
            const run = StorageOperations.prototype[operation];
            this.prototype[operation] = async function (...args) {
                this.#transaction.check(operation);
                return run.apply(this, args);
            };
        }
    }
}

export class DurableObjectStorage extends StorageOperations {
    #kv;

    async deleteAll(options) {
        checkWrite();
        overlay.writes().clear();
    }

    async sync() {
        checkWrite();
        return channel.syncAnswer();
    }

    get kv() {
        this.#kv ??= new StorageKv();
        return this.#kv;
    }

    /* SQL comes in a later release. */
    get sql() {
        return {
            exec() {
                throw notImplemented("storage.sql");
            },
            get databaseSize() {
                throw notImplemented("storage.sql");
            },
        };
    }

    transaction(run) {
        return transactions.run(run, (transaction) => new DurableObjectTransaction(transaction));
    }

    transactionSync(run) {
        return transactions.runNow(run);
    }
}

for (const later of ["getCurrentBookmark", "getBookmarkForTime", "onNextSessionRestoreBookmark"]) {
    Object.defineProperty(DurableObjectStorage.prototype, later, {
        value: async () => {
            throw notImplemented(`storage.${later}`);
        },
        configurable: true, writable: true,
    });
}
