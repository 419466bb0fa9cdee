/* ctx.timers: the actor's named timers, as the routes have them (API section 3). When one is due its class's
 * onTimer(name, payload) is called. A change is durable, with all that was written before it, when its promise
 * settles. */
import * as channel from "./channel.js";
import { apiError } from "./errors.js";
import { checkWrite } from "./storage.js";
import { isInTransaction } from "./overlay.js";

const NAME_BYTES_MAX = 255;
const MEMBERS = ["at", "in", "every", "cron", "tz", "payload", "webhook", "catch_up"];

function checkName(name) {
    name = String(name);
    if (name.length === 0 || name.length > NAME_BYTES_MAX) {
        throw new TypeError(`The name of a timer has 1 to ${NAME_BYTES_MAX} bytes.`);
    }
    if (name === "alarm") {
        throw new TypeError('The timer "alarm" is set by storage.setAlarm().');
    }
    return name;
}

function documentOf(spec) {
    const document = {};
    for (const name of MEMBERS) {
        const value = spec[name];
        if (value !== undefined) {
            document[name] = value instanceof Date ? value.getTime() : value;
        }
    }
    return document;
}

function change(type, args) {
    checkWrite();
    if (isInTransaction() || channel.doesWithholdWrites()) {
        throw apiError("not_implemented", "not_implemented: timers in transactions and runs");
    }
    channel.flushWrites();
    return channel.storageAnswer(type, args, true);
}

export class ActorTimers {
    async set(name, spec) {
        return await change("timer_put", [checkName(name), documentOf(spec)]);
    }

    async delete(name) {
        await change("timer_delete", [checkName(name)]);
    }

    async list() {
        channel.flushWrites();
        return (await channel.storageAnswer("timers", [], true)).timers;
    }

    async get(name) {
        return (await this.list()).find((timer) => timer.name === String(name)) ?? null;
    }
}
