/* What keeps the actor awake, and how it ends. */
import * as channel from "./channel.js";
import { describe } from "./errors.js";
import { format } from "./inspect.js";
import { host } from "./host.js";
import { liveTimers } from "./timers.js";
import { log } from "./console.js";
import { outgoingOpen } from "./outgoing.js";
import { readersWaiting } from "./incoming.js";

let backgrounds = 0;
let sockets = 0;
let toldBusy = 0;

export function waitUntil(promise) {
    backgrounds++;
    Promise.resolve(promise).then(() => {
        backgrounds--;
    }, (error) => {
        backgrounds--;
        log("error", format(["Uncaught (in waitUntil)", error]));
    });
}

export function socketOpens() {
    sockets++;
}

export function socketEnds() {
    sockets--;
}

/* What goes on without anybody's doing: timers, promises that are waited for, asks, sockets, bodies. */
export function activity() {
    return liveTimers() + backgrounds + sockets + channel.asksPending() + outgoingOpen() + readersWaiting();
}

/* Told while no event is under way: one that is keeps the actor awake by itself. */
export function tellBusy() {
    const busy = activity();
    if ((busy > 0) !== (toldBusy > 0)) {
        toldBusy = busy;
        channel.tell("busy", busy);
    }
}

/* The actor starts anew, without what it had not sent yet. */
export function abort(error) {
    channel.tell("abort", describe(error), true);
    host.exit(0);
}

export function fail(told) {
    channel.sendFailed(told);
    host.exit(0);
}
