/* Writes that have not left yet: what an overlay holds over the store.
 *
 * Overlays stack: the lowest holds what leaves with the next frame, one above it what an open
 * transaction has written, which falls down at its commit or is dropped. Values are documents,
 * `null` is a deleted key. */
import * as writer from "./writer.js";

const ENTRY_BYTES = 16;

export function sizeOf(key, document) {
    return key.length * 3 + ENTRY_BYTES + (document === null ? 0 : document.length);
}

export class Writes {
    constructor(below) {
        this.below = below;
        this.entries = new Map();
        this.cleared = false;
        this.alarm = undefined; /* ms; null: deleted; undefined: untouched */
        this.bytes = 0;
    }

    get isEmpty() {
        return this.entries.size === 0 && !this.cleared && this.alarm === undefined;
    }

    /* The document, null where it is deleted, undefined where nothing here tells. */
    lookup(key) {
        for (let one = this; one !== null; one = one.below) {
            const found = one.entries.get(key);
            if (found !== undefined) {
                return found;
            }
            if (one.cleared) {
                return null;
            }
        }
        return undefined;
    }

    lookupAlarm() {
        for (let one = this; one !== null; one = one.below) {
            if (one.alarm !== undefined) {
                return one.alarm;
            }
            if (one.cleared) {
                return null;
            }
        }
        return undefined;
    }

    /* Keys count as the most bytes that they may have. */
    set(key, document) {
        const old = this.entries.get(key);
        if (old !== undefined) {
            this.bytes -= sizeOf(key, old);
        }
        this.bytes += sizeOf(key, document);
        this.entries.set(key, document);
    }

    clear() {
        this.entries.clear();
        this.bytes = 0;
        this.cleared = true;
        this.alarm = undefined;
    }

    /* Everything of this falls onto the one below. */
    fall() {
        const below = this.below;
        if (this.cleared) {
            below.clear();
        }
        for (const [key, document] of this.entries) {
            below.set(key, document);
        }
        if (this.alarm !== undefined) {
            below.alarm = this.alarm;
        }
    }

    /* All that the stack says of keys, the upper over the lower; whether it hides the store. */
    merged() {
        if (this.below === null) {
            return { entries: this.entries, cleared: this.cleared };
        }
        const entries = new Map();
        let cleared = false;
        for (let one = this; one !== null && !cleared; one = one.below) {
            for (const [key, document] of one.entries) {
                if (!entries.has(key)) {
                    entries.set(key, document);
                }
            }
            cleared = one.cleared;
        }
        return { entries, cleared };
    }

    /* The writes of a frame; afterwards there are none here. */
    take() {
        if (this.isEmpty) {
            writer.nil();
            return;
        }
        writer.arrayHead(this.entries.size + (this.cleared ? 1 : 0) + (this.alarm === undefined ? 0 : 1));
        if (this.cleared) {
            writer.arrayHead(1);
            writer.string("clear");
            this.cleared = false;
        }
        for (const [key, document] of this.entries) {
            writer.arrayHead(document === null ? 2 : 3);
            writer.string(document === null ? "delete" : "put");
            writer.string(key);
            if (document !== null) {
                writer.bin(document);
            }
        }
        this.entries.clear();
        this.bytes = 0;
        if (this.alarm !== undefined) {
            writer.arrayHead(2);
            writer.string("alarm");
            if (this.alarm === null) {
                writer.nil();
            } else {
                writer.number(this.alarm);
            }
            this.alarm = undefined;
        }
    }
}
