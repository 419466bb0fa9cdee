/* What a step is asked for with: names, durations, retries. */
import { NonRetryableError } from "./entrypoints.js";
import { host } from "./host.js";

export const OUTPUT_BYTES_MAX = 1024 * 1024;
const NAME_BYTES_MAX = 255;
const EVENT_TYPE_BYTES_MAX = 100;
const DURATION_MS_MAX = 365 * 24 * 3600 * 1000;

const units = {
    second: 1000, minute: 60 * 1000, hour: 3600 * 1000, day: 24 * 3600 * 1000, week: 7 * 24 * 3600 * 1000,
    month: 30 * 24 * 3600 * 1000, year: 365 * 24 * 3600 * 1000,
};

/* What the run's author got wrong will be so again. */
export function refuse(message) {
    return new NonRetryableError(message, "TypeError");
}

export function checkName(name) {
    if (typeof name !== "string" || name.length === 0) {
        throw refuse("The name of a step is no string, or empty.");
    }
    if (host.encode(name).length > NAME_BYTES_MAX) {
        throw refuse(`The step name "${name.slice(0, 40)}..." is longer than ${NAME_BYTES_MAX} bytes.`);
    }
    return name;
}

export function checkEventType(type, name) {
    if (typeof type !== "string" || type.length === 0 || type.includes("\0")) {
        throw refuse(`The step "${name}" waits for an event whose type is no string, or empty.`);
    }
    if (host.encode(type).length > EVENT_TYPE_BYTES_MAX) {
        throw refuse(`The step "${name}" waits for an event whose type "${type.slice(0, 40)}..." is longer than ` +
            `${EVENT_TYPE_BYTES_MAX} bytes.`);
    }
    return type;
}

const PARSED_MAX = 100;
const parsed = new Map(); /* durations that came before: mostly the same few */

function parse(text) {
    let ms = parsed.get(text);
    if (ms === undefined) {
        ms = parseNew(text);
        if (parsed.size < PARSED_MAX) {
            parsed.set(text, ms);
        }
    }
    return ms;
}

function parseNew(text) {
    const found = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*$/.exec(text);
    return found !== null && Object.hasOwn(units, found[2]) ? Number(found[1]) * units[found[2]] : NaN;
}

/* Milliseconds of a number or of "5 minutes". */
export function durationOf(value, what, max = DURATION_MS_MAX) {
    const ms = typeof value === "number" ? value : typeof value === "string" ? parse(value) : NaN;
    if (!(ms >= 0)) {
        throw refuse(`${what} is no duration: ${String(value).slice(0, 40)}`);
    }
    if (ms > max) {
        throw refuse(`${what} is longer than 365 days.`);
    }
    return Math.ceil(ms);
}

export function timeOf(value, what) {
    const ms = value instanceof Date ? value.getTime() : value;
    if (typeof ms !== "number" || !Number.isFinite(ms) || ms < 0) {
        throw refuse(`${what} is no time.`);
    }
    if (ms > Date.now() + DURATION_MS_MAX) {
        throw refuse(`${what} is more than 365 days away.`);
    }
    return Math.ceil(ms);
}

const backoffs = {
    constant: () => 1,
    linear: (failures) => failures,
    exponential: (failures) => 2 ** (failures - 1),
};

/* {limit, delay, backoff, timeoutMs, given}: `given` is what the callback is shown. */
export function configOf(config, name) {
    return config === undefined || config === null ? { ...defaults, given: { ...defaults.given } } : configOfGiven(config, name);
}

function configOfGiven(config, name) {
    const { retries = {}, timeout = "10 minutes", ...rest } = config;
    const { limit = 5, delay = "10 seconds", backoff = "exponential" } = retries;
    if (typeof limit !== "number" || !(limit >= 0)) {
        throw refuse(`retries.limit of the step "${name}" is no number that is not negative.`);
    }
    if (!Object.hasOwn(backoffs, backoff)) {
        throw refuse(`retries.backoff of the step "${name}" is none of constant, linear and exponential.`);
    }
    if (typeof delay !== "function") {
        durationOf(delay, `retries.delay of the step "${name}"`);
    }
    const timeoutMs = durationOf(timeout, `timeout of the step "${name}"`);
    const shown = typeof delay === "function" ? { limit, backoff } : { limit, delay, backoff };
    return { limit, delay, backoff, timeoutMs, given: { ...rest, retries: shown, timeout } };
}

const defaults = configOfGiven({}, "");

/* How long to wait after so many failures. */
export async function pauseOf(config, name, failures, ctx, error) {
    const { delay, backoff } = config;
    const what = `retries.delay of the step "${name}"`;
    if (typeof delay === "function") {
        return durationOf(await delay({ ctx, error }), what);
    }
    return Math.min(durationOf(delay, what) * backoffs[backoff](failures), DURATION_MS_MAX);
}
