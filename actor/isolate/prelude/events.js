/* Events: each runs a method of the actor, and ends with one frame. */
import * as channel from "./channel.js";
import * as frames from "./frames.js";
import * as reader from "./reader.js";
import * as fetchEvent from "./fetch_event.js";
import * as socketEvent from "./socket_event.js";
import { apiError, describe } from "./errors.js";
import { consumeAlarm } from "./storage.js";
import { getInstance, handlerOf, methodOf } from "./instance.js";
import { takeTimer } from "./agent/agent.js";
import { read } from "./clone.js";
import { runWorkflow } from "./workflow.js";

let underWay = 0;

export function eventsUnderWay() {
    return underWay;
}

export function eventEnds() {
    underWay--;
}

function failed(event, error) {
    underWay--;
    fetchEvent.ended(event);
    channel.sendDoneFailed(event, describe(error));
}

function done(event, value) {
    underWay--;
    channel.sendDone(event, value);
}

function isPromise(value) {
    return typeof value === "object" && value !== null && typeof value.then === "function";
}

/* Ends the event with what `result` is, or becomes. */
function settle(event, result, finish) {
    if (result instanceof Promise) {
        result.then((value) => finish(event, value), (error) => failed(event, error));
    } else if (isPromise(result)) {
        settle(event, Promise.resolve(result), finish);
    } else {
        finish(event, result);
    }
}

function call(event) {
    const method = reader.string();
    reader.binHead();
    const args = read();
    settle(event, methodOf(method).apply(getInstance(), args), done);
}

let oneShot = null;

/* A run of one-shot code: `run(input)`. */
export function setOneShot(run) {
    oneShot = run;
}

function execute(event) {
    const input = reader.binHead() < 0 ? undefined : read();
    settle(event, oneShot(input), done);
}

function endQuietly(event) {
    underWay--;
    channel.sendDonePlain(event, null);
}

/* Until its body has ended a response may still fail. */
function endFetch(event, response) {
    try {
        fetchEvent.respond(event, response);
        underWay--;
    } catch (error) {
        failed(event, error);
    }
}

function endAlarm(event) {
    consumeAlarm(false);
    endQuietly(event);
}

async function runAlarm(scheduled, retries) {
    const handler = handlerOf("alarm");
    if (handler === null) {
        throw apiError("no_such_method", "The class has no alarm() handler.", TypeError);
    }
    try {
        await handler.call(getInstance(), {
            retryCount: retries, isRetry: retries > 0, scheduledTime: scheduled,
        });
    } finally {
        consumeAlarm(false);
    }
}

function alarm(event) {
    const scheduled = reader.uint();
    const retries = reader.uint();
    consumeAlarm(true);
    settle(event, runAlarm(scheduled, retries), endAlarm);
}

function timer(event) {
    const name = reader.string();
    const payload = reader.binHead() < 0 ? undefined : read();
    const scheduled = reader.isNil() ? undefined : reader.uint();
    const handler = getInstance()[takeTimer]?.(name) ?? handlerOf("onTimer");
    const result = handler?.call(getInstance(), name, payload, { scheduledTime: scheduled });
    settle(event, result, endQuietly);
}

function dispatch(event, type) {
    switch (type) {
    case frames.EVENT_CALL:
        call(event);
        break;
    case frames.EVENT_EXECUTE:
        execute(event);
        break;
    case frames.EVENT_ALARM:
        alarm(event);
        break;
    case frames.EVENT_TIMER:
        timer(event);
        break;
    case frames.EVENT_WORKFLOW:
        runWorkflow(event).catch((error) => failed(event, error));
        break;
    case frames.EVENT_FETCH:
        settle(event, fetchEvent.run(event), endFetch);
        break;
    case frames.EVENT_MESSAGE:
        settle(event, socketEvent.message(), endQuietly);
        break;
    case frames.EVENT_CLOSE:
        settle(event, socketEvent.close(), endQuietly);
        break;
    case frames.EVENT_ERROR:
        settle(event, socketEvent.error(), endQuietly);
        break;
    }
}

/* The reader is past the event's number. */
export function deliver(event) {
    underWay++;
    try {
        dispatch(event, reader.uint());
    } catch (error) {
        failed(event, error);
    }
}
