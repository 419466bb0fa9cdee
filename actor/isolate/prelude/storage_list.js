/* list(): the store's pages, under what was written since. */
import * as channel from "./channel.js";
import * as overlay from "./overlay.js";
import { compareKeys } from "./storage_key.js";
import { decode } from "./clone.js";

function text(value) {
    if (value === undefined || value === null) {
        return undefined;
    }
    return String(value);
}

function checkOptions(options) {
    if (options === null || (typeof options !== "object" && options !== undefined)) {
        throw new TypeError("list(): the options are an object.");
    }
    const { limit, reverse = false, allowConcurrency = false } = options ?? {};
    const range = {};
    for (const name of ["prefix", "start", "startAfter", "end"]) {
        const value = text(options?.[name]);
        if (value !== undefined) {
            range[name] = value;
        }
    }
    if (range.start !== undefined && range.startAfter !== undefined) {
        throw new TypeError("list(): start and startAfter exclude each other.");
    }
    if (limit !== undefined && limit !== null && !(Number(limit) >= 1)) {
        throw new TypeError("list(): limit is a positive number.");
    }
    return {
        range, limit: limit === undefined || limit === null ? Infinity : Math.floor(Number(limit)),
        reverse: Boolean(reverse), closesGate: !allowConcurrency,
    };
}

function isInRange(range, key) {
    return (range.prefix === undefined || key.startsWith(range.prefix)) &&
        (range.start === undefined || compareKeys(key, range.start) >= 0) &&
        (range.startAfter === undefined || compareKeys(key, range.startAfter) > 0) &&
        (range.end === undefined || compareKeys(key, range.end) < 0);
}

/* One listing under way: pages go in, in order, until it has enough. */
class Listing {
    constructor({ range, limit, reverse, closesGate }) {
        const { entries, cleared } = overlay.writes().merged();
        this.range = range;
        this.limit = limit;
        this.reverse = reverse;
        this.closesGate = closesGate;
        this.isDone = cleared; /* nothing of the store shows */
        this.own = [];
        this.hidden = new Set();
        for (const [key, document] of entries) {
            if (isInRange(range, key)) {
                this.hidden.add(key);
                if (document !== null) {
                    this.own.push([key, document]);
                }
            }
        }
        this.own.sort(([a], [b]) => this.compare(a, b));
        this.found = [];
        this.at = 0; /* own ones before it are in `found` */
    }

    compare(a, b) {
        return this.reverse ? compareKeys(b, a) : compareKeys(a, b);
    }

    ask() {
        const args = { ...this.range };
        if (this.reverse) {
            args.reverse = true;
        }
        if (this.limit !== Infinity) {
            args.limit = this.limit - this.found.length;
        }
        return args;
    }

    takeOwnBefore(key) {
        while (this.at < this.own.length && (key === null || this.compare(this.own[this.at][0], key) < 0)) {
            this.found.push(this.own[this.at++]);
        }
    }

    page([entries, more]) {
        for (const [key, document] of entries) {
            this.takeOwnBefore(key);
            if (!this.hidden.has(key)) {
                this.found.push([key, document]);
            }
        }
        this.isDone = !more || entries.length === 0 || this.found.length >= this.limit;
        if (!this.isDone) {
            const last = entries[entries.length - 1][0];
            if (this.reverse) {
                this.range = { ...this.range, end: last };
            } else {
                this.range = { ...this.range, startAfter: last };
                delete this.range.start;
            }
        }
    }

    /* Pairs of keys and values. Own ones beyond the last page are in order behind it. */
    result() {
        this.takeOwnBefore(null);
        const found = this.found.slice(0, this.limit);
        return found.map(([key, document]) => [key, decode(document)]);
    }
}

export async function list(options) {
    const listing = new Listing(checkOptions(options));
    while (!listing.isDone) {
        listing.page(await channel.storageAnswer("list", listing.ask(), listing.closesGate));
    }
    return new Map(listing.result());
}

export function listNow(options) {
    const listing = new Listing(checkOptions(options));
    while (!listing.isDone) {
        listing.page(channel.answerNow("list", listing.ask()));
    }
    return listing.result();
}

