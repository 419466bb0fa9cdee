/* Again, after longer and longer pauses with jitter. */
import { setTimeout } from "../timers.js";

const ATTEMPTS = 3;
const BASE_MS = 100;
const MAX_MS = 3000;
const ATTEMPTS_MAX = 100;

function numberOf(value, otherwise, least) {
    const number = Number(value ?? otherwise);
    if (!(number >= least)) {
        throw new RangeError(`A retry's option is a number of at least ${least}.`);
    }
    return number;
}

export function retryOptions(options = {}) {
    return {
        maxAttempts: Math.min(Math.trunc(numberOf(options.maxAttempts, ATTEMPTS, 1)), ATTEMPTS_MAX),
        baseDelayMs: numberOf(options.baseDelayMs, BASE_MS, 0),
        maxDelayMs: numberOf(options.maxDelayMs, MAX_MS, 0),
    };
}

/* Before the next attempt, after so many: "full jitter" over a bound that doubles. */
export function pauseMs({ baseDelayMs, maxDelayMs }, attempts) {
    return Math.random() * Math.min(maxDelayMs, baseDelayMs * 2 ** (attempts - 1));
}

export async function retry(run, options = {}) {
    const bounds = retryOptions(options);
    for (let attempt = 1; ; attempt++) {
        try {
            return await run(attempt);
        } catch (error) {
            if (attempt >= bounds.maxAttempts || options.shouldRetry?.(error, attempt + 1) === false) {
                throw error;
            }
        }
        await new Promise((resolve) => {
            setTimeout(resolve, pauseMs(bounds, attempt));
        });
    }
}
