/* The prelude: what the program around the engine calls. */
import * as channel from "./channel.js";
import * as frames from "./frames.js";
import * as gate from "./gate.js";
import * as lifecycle from "./lifecycle.js";
import * as overlay from "./overlay.js";
import * as reader from "./reader.js";
import * as timers from "./timers.js";
import * as transactions from "./transaction.js";
import { beginTime } from "./web/platform.js";
import { cancelled } from "./fetch_event.js";
import { chunkArrived } from "./incoming.js";
import { creditArrived } from "./outgoing.js";
import { deliver, eventsUnderWay } from "./events.js";
import { format } from "./inspect.js";
import { fromAnswer } from "./errors.js";
import { hasDropped, log, tickLog } from "./console.js";
import { host } from "./host.js";
import { installGlobals } from "./globals.js";
import { read } from "./clone.js";
import { start } from "./start.js";
import { warmFrames } from "./warm.js";
import { socketsCame } from "./sockets.js";
import { goOnWithRun, settleRun } from "./workflow.js";

/* Frames that wait at the input gate: events, and what answers from outside. */
const events = [];
const news = [];

function keep(queue, frame) {
    queue.push(frame.slice());
}

function takeEvent(frame) {
    reader.open(frame);
    reader.arrayHead();
    reader.uint();
    deliver(reader.uint());
}

function brokenBy(told) {
    return typeof told === "string" ? new TypeError(told) : fromAnswer(told, false);
}

function takeChunk(stream) {
    const bytes = reader.bin() ?? new Uint8Array(0);
    const end = read(); /* a boolean, or why the body broke off */
    chunkArrived(stream, bytes, end === true, typeof end === "boolean" ? null : brokenBy(end));
}

/* The reader is past the number. */
function takeNews(kind, number) {
    if (kind === frames.ANSWER) {
        channel.takeAnswer(number);
    } else {
        takeChunk(number);
    }
}

function takeWaitingNews(frame) {
    reader.open(frame);
    reader.arrayHead();
    const kind = reader.uint();
    takeNews(kind, reader.uint());
}

function handle(bytes) {
    reader.open(bytes);
    reader.arrayHead();
    const kind = reader.uint();
    const number = reader.uint();
    switch (kind) {
    case frames.EVENT:
        if (events.length > 0 || !gate.isOpenToEvents()) {
            keep(events, bytes);
        } else {
            deliver(number);
        }
        break;
    case frames.ANSWER:
        if (channel.isStorageAnswer(number)) {
            channel.takeAnswer(number);
            break;
        }
        /* falls through */
    case frames.CHUNK:
        if (news.length > 0 || !gate.isOpen()) {
            keep(news, bytes);
        } else {
            takeNews(kind, number);
        }
        break;
    case frames.START:
        start(read());
        break;
    case frames.CANCEL:
        cancelled(number);
        break;
    case frames.CREDIT:
        creditArrived(number, reader.uint());
        break;
    case frames.NOTHING:
        break;
    case frames.SOCKETS:
        socketsCame(read());
        break;
    }
}

function frame(bytes) {
    if (channel.hasBacklog()) {
        channel.pushBacklog(bytes);
    } else {
        handle(bytes);
    }
}

/* One thing that waited may go on; so promises settle between two of them. Events and timers take
 * turns, so that neither starves the other. */
let timersFirst = false;

function fireTimer(now) {
    if (!timers.isDue(now)) {
        return false;
    }
    timers.fireOne(now);
    return true;
}

function takeWaitingEvent() {
    if (events.length === 0 || !gate.isOpenToEvents()) {
        return false;
    }
    takeEvent(events.shift());
    return true;
}

function goOn(now) {
    if (channel.hasBacklog()) {
        handle(channel.nextOfBacklog());
        return true;
    }
    if (!gate.isOpen()) {
        return false;
    }
    if (news.length > 0) {
        takeWaitingNews(news.shift());
        return true;
    }
    if (goOnWithRun()) {
        return true;
    }
    timersFirst = !timersFirst;
    return timersFirst ? fireTimer(now) || takeWaitingEvent() : takeWaitingEvent() || fireTimer(now);
}

/* Nothing goes on without news: what was written leaves, unless a read is about to be answered. */
function settle() {
    if (channel.storageAsksPending() > 0) {
        return false;
    }
    if (transactions.areOpen()) {
        return channel.asksPending() === 0 && timers.liveTimers() === 0 && transactions.nestWaiting();
    }
    if (!overlay.isInTransaction()) {
        channel.flushWrites();
    }
    if (settleRun()) {
        return true;
    }
    if (eventsUnderWay() === 0) {
        lifecycle.tellBusy();
    }
    return false;
}

function uncaught(error) {
    log("error", format(["Uncaught", error]));
}

function tick(now) {
    try {
        tickLog(now);
        if (timers.fireDeadlines(now) || goOn(now) || settle()) {
            return 0;
        }
    } catch (error) {
        uncaught(error); /* of a timer: there is nobody else to hear it */
        return 0;
    }
    const due = timers.nextDue(gate.isOpen());
    const wait = due === Infinity ? Infinity : Math.max(0, due - now);
    return hasDropped() ? Math.min(wait, 1000) : wait;
}

/* The first call in a child. */
function forked() {
    beginTime();
    channel.sendReady();
}

host.onRejection?.((first, second) => {
    const reason = first instanceof Promise ? second : first;
    log("error", format(["Uncaught (in promise)", reason]));
});

/* install and warmFrames are for main.js. */
export const runtime = { frame, tick, forked, install: installGlobals, warmFrames };
