/* transaction() and transactionSync(): writes that fall together or not at all.
 *
 * While one is open no new event enters. A second one waits for the first. Where the first waits for
 * the second, which the code of a user started inside of it, nothing would ever go on: the loop sees
 * that nothing can happen any more, and lets the second run as a part of the first. */
import * as gate from "./gate.js";
import * as overlay from "./overlay.js";

class Transaction {
    constructor() {
        this.level = overlay.open();
        this.isOpen = true;
        this.isRolledBack = false;
    }

    /* Before each operation of its own. */
    check(operation) {
        if (this.isRolledBack) {
            throw new Error(`Cannot ${operation}() on rolled back transaction`);
        }
        if (!this.isOpen) {
            throw new Error(`Cannot call ${operation}() on a transaction that has ended.`);
        }
    }

    rollback() {
        if (this.isOpen) {
            this.isOpen = false;
            this.isRolledBack = true;
            overlay.drop(this.level);
        } else if (!this.isRolledBack) {
            this.check("rollback");
        }
    }

    commit() {
        if (this.isOpen) {
            this.isOpen = false;
            overlay.keep(this.level);
        }
    }

    abandon() {
        if (this.isOpen) {
            this.rollback();
        }
    }
}

let running = 0;
const waiting = [];

export function areOpen() {
    return running > 0;
}

/* PRE: nothing else can happen. True where a transaction that waited runs now. */
export function nestWaiting() {
    const start = waiting.shift();
    start?.();
    return start !== undefined;
}

function ended() {
    running--;
    gate.unblock();
    if (running === 0) {
        nestWaiting();
    }
}

function started() {
    running++;
    gate.block();
}

export async function run(callback, makeArgument) {
    if (typeof callback !== "function") {
        throw new TypeError("transaction(): the first argument is not a function");
    }
    if (running > 0) {
        await new Promise((resolve) => {
            waiting.push(() => {
                started();
                resolve();
            });
        });
    } else {
        started();
    }
    const transaction = new Transaction();
    try {
        const result = await callback(makeArgument(transaction));
        transaction.commit();
        return result;
    } catch (error) {
        transaction.abandon();
        throw error;
    } finally {
        ended();
    }
}

export function runNow(callback) {
    const transaction = new Transaction();
    try {
        const result = callback();
        if (typeof result?.then === "function") {
            throw new TypeError("transactionSync(): the callback must not be asynchronous");
        }
        transaction.commit();
        return result;
    } catch (error) {
        transaction.abandon();
        throw error;
    }
}
