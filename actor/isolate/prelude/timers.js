/* setTimeout and setInterval over a heap of due times. The loop asks when the next is due, and fires
 * one at a time, so that promises settle between two of them. */
import { host } from "./host.js";

const TIMERS_MAX = 100000;
const DELAY_MS_MAX = 0x7fffffff;

const heap = [];
const live = new Map(); /* by id */
let lastId = 0;

function before(a, b) {
    return a.due < b.due || (a.due === b.due && a.order < b.order);
}

function push(timer) {
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
        const parent = (at - 1) >> 1;
        if (!before(timer, heap[parent])) {
            break;
        }
        heap[at] = heap[parent];
        at = parent;
    }
    heap[at] = timer;
}

function pop() {
    const first = heap[0];
    const last = heap.pop();
    if (heap.length > 0) {
        let at = 0;
        for (;;) {
            let child = 2 * at + 1;
            if (child >= heap.length) {
                break;
            }
            if (child + 1 < heap.length && before(heap[child + 1], heap[child])) {
                child++;
            }
            if (!before(heap[child], last)) {
                break;
            }
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = last;
    }
    return first;
}

let order = 0;

function add(run, args, delay, repeats) {
    if (live.size >= TIMERS_MAX) {
        throw new RangeError(`an actor may have ${TIMERS_MAX} timers at most`);
    }
    const ms = Math.min(Math.max(Math.trunc(Number(delay)) || 0, 0), DELAY_MS_MAX);
    const timer = {
        id: ++lastId, run, args, due: host.now() + ms, order: order++,
        every: repeats ? Math.max(ms, 1) : 0,
    };
    live.set(timer.id, timer);
    push(timer);
    return timer.id;
}

function callable(run, name) {
    if (typeof run !== "function") {
        throw new TypeError(`${name}: the first argument is not a function`);
    }
    return run;
}

export function setTimeout(run, delay = 0, ...args) {
    return add(callable(run, "setTimeout"), args, delay, false);
}

export function setInterval(run, delay = 0, ...args) {
    return add(callable(run, "setInterval"), args, delay, true);
}

export function clearTimeout(id) {
    const timer = live.get(Number(id));
    if (timer === undefined) {
        return;
    }
    live.delete(timer.id);
    timer.run = null;
    timer.args = null;
    /* Cancelled ones stay in the heap until they are due; where they are most of it, it is rebuilt. */
    if (heap.length > 64 && heap.length > 2 * live.size) {
        heap.length = 0;
        for (const one of live.values()) {
            push(one);
        }
    }
}

export const clearInterval = clearTimeout;

/* Deadlines of the runtime itself: they pass the input gate, and keep nobody awake. */
const deadlines = new Set();

export function setDeadline(delay, run) {
    const deadline = { due: host.now() + delay, run };
    deadlines.add(deadline);
    return deadline;
}

export function clearDeadline(deadline) {
    deadlines.delete(deadline);
}

/* Whether there was any: promises are to settle before anything else is looked at. */
export function fireDeadlines(now) {
    let fired = false;
    for (const deadline of deadlines) {
        if (deadline.due <= now) {
            deadlines.delete(deadline);
            deadline.run();
            fired = true;
        }
    }
    return fired;
}

export function liveTimers() {
    return live.size;
}

function dropCancelled() {
    while (heap.length > 0 && heap[0].run === null) {
        pop();
    }
}

/* When the next timer, or where these may not run, the next deadline is due. */
export function nextDue(withTimers) {
    let due = Infinity;
    if (withTimers) {
        dropCancelled();
        due = heap.length > 0 ? heap[0].due : Infinity;
    }
    for (const deadline of deadlines) {
        due = Math.min(due, deadline.due);
    }
    return due;
}

export function isDue(now) {
    dropCancelled();
    return heap.length > 0 && heap[0].due <= now;
}

/* PRE: isDue(now) */
export function fireOne(now) {
    const timer = pop();
    if (timer.every > 0) {
        timer.due = Math.max(timer.due + timer.every, now);
        timer.order = order++;
        push(timer);
    } else {
        live.delete(timer.id);
    }
    timer.run.apply(globalThis, timer.args);
}
