/* One run of a workflow: its code, its steps and its journal.
 *
 * The journal has a row for each step that was begun, with its place among what the code has learned so
 * far (`resolved`). A run that is taken up again replays it: its code runs from the start, and what it learned
 * comes back in the same order, whichever of several steps was first. Only then does anything new begin. Code that
 * does not ask for what the journal has is not the code that wrote it: the run ends with an error.
 *
 *     step.do: NEW --runs--> DONE, FAILED            what the code learns is first written, durably
 *                  \--fails--> WAITING --its time--> NEW
 *     sleep, waitForEvent: WAITING --its time, an event--> DONE, FAILED
 *
 * What waits is written when nothing else goes on, and needs no write when its time has come: the place
 * where that was learned goes along with the next one. */
import * as channel from "./channel.js";
import { NonRetryableError } from "./entrypoints.js";
import { checkEventType, checkName, configOf, durationOf, OUTPUT_BYTES_MAX, pauseOf, refuse, timeOf } from "./workflow_config.js";
import { clearDeadline, setDeadline } from "./timers.js";
import { decode, encodeCopy, makeError, uncloneable } from "./clone.js";
import { describe } from "./errors.js";

const STEPS_MAX = 10000;
const STARTED_MS = 100; /* an attempt that takes so long is told of before it ends */
const EVENT_TIMEOUT = "24 hours";
const EVENT_LATE_MS = 2000; /* the daemon, which takes events, may be behind our clock */

/* States, as actor/workflow.h has them. */
const RUNNING = 1;
const WAITING = 2;
const DONE = 3;
const FAILED = 4;
const NEW = 0; /* nothing is written of it */

/* Types likewise. */
const DO = 1;
const SLEEP = 2;
const EVENT = 3;
const ROLLBACK = 4;
const typeNames = { [DO]: "do", [SLEEP]: "sleep", [EVENT]: "waitForEvent", [ROLLBACK]: "rollback" };

export function errorDocument(thrown) {
    const { name, message, stack } = describe(thrown);
    return encodeCopy({ name, message: message.slice(0, 16384), stack: stack.slice(0, 16384) });
}

function errorOf(document) {
    const { name, message, stack } = decode(document);
    return makeError(name, message ?? "", stack);
}

function isFinal(error) {
    return error instanceof NonRetryableError || error?.name === "NonRetryableError";
}

/* The document of what a step or the run ends with: one that cannot be kept will not be so the next time. */
function outputOf(value, whose) {
    let document;
    if (value === undefined) {
        return null;
    }
    try {
        document = encodeCopy(value);
    } catch (error) {
        throw new NonRetryableError(`The output of the ${whose} cannot be kept: ${error.message}`, error.name);
    }
    if (document.length > OUTPUT_BYTES_MAX) {
        throw new NonRetryableError(`The output of the ${whose} has ${document.length} bytes: it is larger than ${
            OUTPUT_BYTES_MAX}.`, "too_large");
    }
    return document;
}

class Step {
    constructor(order, name, type) {
        this.order = order;
        this.name = name;
        this.type = type;
        this.state = NEW;
        this.attempts = 0;
        this.failures = 0;
        this.started = 0;
        this.due = 0;
        this.resolved = 0;
        this.eventType = "";
        this.result = null; /* a document */
        this.isCalled = false;
        this.isSaved = false;
        this.deadline = null;
        this.config = null;
        this.callback = null;
        this.rollback = null;
        this.promise = new Promise((resolve, reject) => {
            this.resolve = resolve;
            this.reject = reject;
        });
        this.promise.catch(() => {}); /* whoever waits for it hears of it */
    }

    static ofRow(row) {
        const step = new Step(row[1], row[2], row[3]);
        step.isSaved = true;
        step.take(row);
        return step;
    }

    take(row) {
        [, , , , this.state, this.attempts, this.failures, this.started, , this.due, this.resolved, this.eventType] = row;
        this.result = row[12].length > 0 ? row[12] : null;
    }

    write() {
        return ["step", this.order, this.name, this.type, this.state, this.attempts, this.failures, this.started,
            this.due, this.resolved, this.eventType, this.result];
    }

    get isOver() {
        return this.state === DONE || this.state === FAILED;
    }

    settle() {
        if (this.state === DONE) {
            this.resolve(this.result === null ? undefined : decode(this.result));
        } else {
            this.reject(errorOf(this.result));
        }
    }
}

/* The second argument of run(). */
class WorkflowStep {
    #run;

    constructor(run) {
        this.#run = run;
    }

    async do(name, ...rest) {
        const config = typeof rest[0] === "function" ? undefined : rest.shift();
        const [callback, options] = rest;
        return this.#run.do(checkName(name), config, callback, options);
    }

    async sleep(name, duration) {
        const ms = durationOf(duration, `The sleep "${checkName(name)}"`);
        return this.#run.sleep(name, Date.now() + ms);
    }

    async sleepUntil(name, time) {
        return this.#run.sleep(checkName(name), timeOf(time, `The end of the sleep "${name}"`));
    }

    async waitForEvent(name, options) {
        const type = checkEventType(options?.type, checkName(name));
        const timeout = options.timeout ?? EVENT_TIMEOUT;
        const ms = durationOf(timeout, `The timeout of the step "${name}"`);
        return this.#run.wait(name, type, ms);
    }
}

Object.defineProperty(WorkflowStep.prototype, uncloneable, { value: true });

export class Run {
    /* `told` is what the event of a run has; the rows come with addRows, and then begin. */
    constructor(told) {
        this.epoch = told.epoch;
        this.news = told.news;
        this.now = told.now; /* the daemon's, when it told last: what was due by then is over */
        this.steps = new Map(); /* by name */
        this.learned = []; /* steps of the journal, in the order in which the code learned of their ends */
        this.learnedNext = 0;
        this.uncalled = 0; /* of the journal */
        this.held = []; /* called, to begin when the replay is over */
        this.acks = []; /* resolved, and not yet written to be so */
        this.nextOrder = 0;
        this.lastResolved = 0;
        this.running = 0;
        this.writing = 0;
        this.ending = 0; /* steps whose end is being written */
        this.later = []; /* steps to learn of after those */
        this.waiting = new Set();
        this.outcome = null; /* {failed, document} */
        this.isPausing = false; /* steps that run may end, and nothing more begins */
        this.isStopped = false;
        this.error = null; /* of the run itself */
        this.rollingBack = null;
    }

    addRows(rows) {
        for (const row of rows) {
            const step = Step.ofRow(row);
            this.steps.set(step.name, step);
            this.nextOrder = Math.max(this.nextOrder, step.order + 1);
            this.lastResolved = Math.max(this.lastResolved, step.resolved);
            this.uncalled++;
            if (step.resolved > 0) {
                this.learned.push(step);
            }
        }
    }

    begin(start) {
        this.learned.sort((a, b) => a.resolved - b.resolved);
        const promise = (async () => start(new WorkflowStep(this)))();
        promise.then((value) => this.#returned(value), (error) => this.#threw(error));
    }

    /* What the daemon knows, and this run does not: events, and times that have come. */
    update(told, rows) {
        this.news = told.news;
        this.now = told.now;
        for (const row of rows) {
            const step = this.steps.get(row[2]);
            if (step !== undefined && step.type === EVENT && step.state === WAITING && row[4] === DONE) {
                step.state = DONE;
                step.result = row[12];
                step.isSaved = true;
                this.#learn(step);
            }
        }
        this.#wake(told.now);
    }

    /* Calls of the code */

    do(name, config, callback, options) {
        if (typeof callback !== "function") {
            throw refuse(`The step "${name}" has no function to run.`);
        }
        if (options?.rollback !== undefined && typeof options.rollback !== "function") {
            throw refuse(`rollback of the step "${name}" is no function.`);
        }
        const parsed = configOf(config, name);
        const rollbackConfig = options?.rollback ? configOf(options.rollbackConfig, name) : null;
        const step = this.#call(name, DO);
        step.config = parsed;
        step.callback = callback;
        step.rollback = options?.rollback ? { callback: options.rollback, config: rollbackConfig } : null;
        return this.#enter(step);
    }

    sleep(name, due) {
        const step = this.#call(name, SLEEP);
        if (step.state === NEW) {
            step.due = due;
        }
        return this.#enter(step);
    }

    wait(name, type, timeoutMs) {
        const step = this.#call(name, EVENT);
        if (step.state === NEW) {
            step.due = Date.now() + timeoutMs;
            step.eventType = type;
        } else if (step.eventType !== type) {
            throw this.#diverge(step, `waits for the event "${type}" and not for "${step.eventType}"`);
        }
        step.timeoutMs = timeoutMs;
        return this.#enter(step);
    }

    #call(name, type) {
        let step = this.steps.get(name);
        if (step?.isCalled) {
            throw refuse(`The step name "${name}" was used twice in one run.`);
        }
        if (step === undefined) {
            if (this.nextOrder >= STEPS_MAX) {
                throw refuse(`The step "${name}" is one too many: a run has at most ${STEPS_MAX}.`);
            }
            step = new Step(this.nextOrder++, name, type);
            this.steps.set(name, step);
        } else {
            this.uncalled--;
            if (step.type !== type) {
                step.isCalled = true;
                throw this.#diverge(step, `is a step.${typeNames[type]} now and was a step.${typeNames[step.type]}`);
            }
        }
        step.isCalled = true;
        return step;
    }

    #diverge(step, how) {
        const error = new NonRetryableError(
            `The code of the workflow is not that of its journal: the step "${step.name}" ${how}.`, "WorkflowDivergedError");
        this.#fail(error);
        return error;
    }

    #enter(step) {
        if (step.resolved === 0) {
            if (this.isReplaying) {
                this.held.push(step);
            } else {
                this.#go(step);
            }
        }
        return step.promise;
    }

    get isReplaying() {
        return this.learnedNext < this.learned.length || this.uncalled > 0;
    }

    /* Replay: one thing that was learned, if its step has been called. */
    replayOne() {
        const step = this.learned[this.learnedNext];
        if (step === undefined || !step.isCalled || this.isHeld) {
            return this.#release();
        }
        this.learnedNext++;
        step.settle();
        return true;
    }

    #release() {
        if (this.isHeld || this.held.length === 0 || this.isReplaying) {
            return false;
        }
        for (const step of this.held.splice(0)) {
            this.#go(step);
        }
        return true;
    }

    /* Steps */

    #go(step) {
        if (this.isHeld) {
            return;
        }
        if (step.isOver) { /* an event that came while nobody ran it */
            this.#learn(step);
        } else if (step.type === DO || step.type === ROLLBACK) {
            if (step.state === WAITING && step.due > Date.now()) {
                this.#await(step);
            } else {
                this.#attempt(step);
            }
        } else {
            step.state = WAITING;
            step.started ||= Date.now();
            step.attempts = 1;
            this.#await(step);
        }
    }

    /* Until its time has come: where the run is not under way then, the daemon says so. */
    #await(step) {
        this.waiting.add(step);
        if (step.due <= this.now) {
            this.#wakeOne(step, this.now);
        } else {
            this.#arm(step);
        }
    }

    #arm(step) {
        const late = step.type === EVENT ? EVENT_LATE_MS : 0;
        const left = () => step.due + late - Date.now();
        step.deadline = setDeadline(Math.max(left(), 1), () => {
            step.deadline = null;
            if (this.isUnderWay && left() > 0) {
                this.#arm(step); /* one clock is ahead of the other */
            } else if (this.isUnderWay) {
                this.#wakeOne(step, step.due);
            }
        });
    }

    #wake(now) {
        for (const step of [...this.waiting]) {
            this.#wakeOne(step, now);
            if (this.waiting.has(step) && step.deadline === null) {
                this.#arm(step);
            }
        }
    }

    #wakeOne(step, now) {
        if (!this.waiting.has(step) || step.due > now || this.isHeld) {
            return;
        }
        this.#leave(step);
        if (step.type === DO || step.type === ROLLBACK) {
            this.#attempt(step);
            return;
        }
        step.state = step.type === SLEEP ? DONE : FAILED;
        if (step.type === EVENT) {
            step.result = errorDocument(new Error(`Execution timed out after ${step.timeoutMs}ms: no event "${
                step.eventType}" came for the step "${step.name}".`));
        }
        step.isSaved = false;
        this.#learn(step);
    }

    #leave(step) {
        this.waiting.delete(step);
        if (step.deadline !== null) {
            clearDeadline(step.deadline);
            step.deadline = null;
        }
    }

    /* The code hears of it now, and the journal with the next write. */
    #learn(step) {
        this.#leave(step);
        if (this.ending > 0) {
            this.later.push(step);
            return;
        }
        step.resolved = ++this.lastResolved;
        this.acks.push(step);
        step.settle();
    }

    #ctx(step) {
        return { step: { name: step.name, count: 1 }, attempt: step.attempts, config: step.config.given };
    }

    async #attempt(step) {
        this.running++;
        step.attempts++;
        step.state = RUNNING;
        step.started ||= Date.now();
        const ctx = this.#ctx(step);
        let document;
        try {
            document = outputOf(await this.#inTime(step, ctx), `step "${step.name}"`);
        } catch (error) {
            await this.#failed(step, ctx, error);
            return;
        }
        await this.#ended(step, DONE, document);
    }

    /* What the callback returns; or an error, once its time is over. */
    #inTime(step, ctx) {
        return new Promise((resolve, reject) => {
            const { timeoutMs } = step.config;
            const late = () => reject(new Error(`Execution timed out after ${timeoutMs}ms: the step "${step.name}".`));
            let deadline = setDeadline(Math.min(timeoutMs, STARTED_MS), timeoutMs <= STARTED_MS ? late : () => {
                this.#write([step.write()]);
                deadline = setDeadline(timeoutMs - STARTED_MS, late);
            });
            const returned = (value) => {
                clearDeadline(deadline);
                resolve(value);
            };
            const threw = (error) => {
                clearDeadline(deadline);
                reject(error);
            };
            try {
                const result = step.callback(ctx);
                if (result instanceof Promise) {
                    result.then(returned, threw);
                } else {
                    Promise.resolve(result).then(returned, threw);
                }
            } catch (error) {
                threw(error);
            }
        });
    }

    async #failed(step, ctx, error) {
        step.failures++;
        if (!isFinal(error) && step.failures <= step.config.limit) {
            let pause;
            try {
                pause = await pauseOf(step.config, step.name, step.failures, ctx, error);
            } catch (thrown) {
                error = thrown;
            }
            if (pause !== undefined) {
                step.state = WAITING;
                step.due = Date.now() + pause;
                step.result = errorDocument(error);
                step.isSaved = false;
                this.running--;
                this.#await(step);
                return;
            }
        }
        await this.#ended(step, FAILED, errorDocument(error));
    }

    async #ended(step, state, document) {
        step.state = state;
        step.due = 0;
        step.result = document;
        step.resolved = ++this.lastResolved;
        step.isSaved = true;
        this.ending++;
        const isKept = await this.#write([step.write()]);
        this.ending--;
        this.running--;
        if (isKept) {
            step.settle();
            this.#learnLater();
        }
    }

    /* In the order in which the journal has it: those whose ends were on their way came first. */
    #learnLater() {
        if (this.ending === 0) {
            for (const step of this.later.splice(0)) {
                this.#learn(step);
            }
        }
    }

    /* The journal */

    #takeAcks() {
        return this.acks.splice(0).map((step) =>
            step.isSaved ? ["ack", step.order, step.resolved] : (step.isSaved = true, step.write()));
    }

    /* All that is not written yet of what waits. */
    #takeWaiting() {
        const writes = [];
        for (const step of this.waiting) {
            if (!step.isSaved) {
                step.isSaved = true;
                writes.push(step.write());
            }
        }
        return writes;
    }

    /* False: the run is stopped, here at least. What it has learned before goes along, so that nothing is in the
     * journal that follows from something which is not. */
    async #write(writes) {
        if (this.isStopped) {
            return false;
        }
        this.writing++;
        try {
            const answer = await channel.outsideAnswer("journal", [this.epoch, this.news, [...this.#takeAcks(), ...writes]]);
            this.isPausing ||= answer === "paused";
        } catch (error) {
            this.#notWritten(error, writes);
        }
        this.writing--;
        return !this.isHeld && this.error === null;
    }

    get isHeld() {
        return this.isStopped || this.isPausing;
    }

    /* What is too large will be so again; anything else is tried again from the journal. */
    #notWritten(error, writes) {
        if (error.code === "too_large") {
            this.#fail(new NonRetryableError(`The journal of the run is full: the step "${writes.at(-1)[2]}" is not in it.`,
                                             "too_large"));
        } else {
            this.stop();
        }
    }

    /* Nobody goes on with it: who waits for it waits for ever. */
    stop() {
        this.isStopped = true;
        for (const step of [...this.waiting]) {
            this.#leave(step);
        }
    }

    /* The end */

    #returned(value) {
        if (this.isStopped || this.error !== null) {
            return;
        }
        if (this.uncalled > 0) {
            this.#missing();
            return;
        }
        try {
            this.outcome = { failed: false, document: outputOf(value, "run") };
        } catch (error) {
            this.#rollBack(error);
        }
    }

    #threw(error) {
        if (!this.isStopped && this.error === null) {
            this.#rollBack(error);
        }
    }

    /* Without its rollbacks: of those nobody knows whether they are this journal's. */
    #fail(error) {
        this.error ??= error;
        this.outcome ??= { failed: true, document: errorDocument(error) };
    }

    /* Of each step that was begun and has one, in the reverse order of their starts; one that fails for good does
     * not keep the others from theirs. */
    async #rollBack(error) {
        this.rollingBack = error;
        const begun = [...this.steps.values()]
            .filter((step) => step.isCalled && step.rollback !== null && step.attempts > 0)
            .sort((a, b) => b.order - a.order);
        for (const step of begun) {
            try {
                await this.#rollBackOne(step, error);
            } catch {
                continue;
            }
        }
        this.#fail(error);
    }

    #rollBackOne(step, error) {
        const own = this.#call(`${step.name} (rollback)`, ROLLBACK);
        const output = step.state === DONE && step.result !== null ? decode(step.result) : undefined;
        const ctx = this.#ctx(step);
        own.config = step.rollback.config;
        own.callback = async () => {
            await step.rollback.callback({ ctx, error, output, stepName: `${step.name}-1` });
        };
        return this.#enter(own);
    }

    /* What is to be told when nothing goes on any more: {isLast, writes}; null: not yet. `isIdle` says that
     * nothing else in here goes on either, `mayWait` that it is not waited for. */
    takeRest(isIdle, mayWait) {
        if (this.isStopped) {
            return { isLast: true, writes: null };
        }
        if (this.outcome !== null) {
            const { failed, document } = this.outcome;
            this.stop();
            return { isLast: true, writes: [...this.#takeAcks(), ["end", failed, document]] };
        }
        if (this.writing > 0) {
            return null;
        }
        if (this.isPausing && this.running === 0) {
            const writes = [...this.#takeAcks(), ...this.#takeWaiting()];
            this.stop();
            return { isLast: true, writes: writes.length > 0 ? writes : null };
        }
        if (this.running > 0) {
            const writes = this.#takeWaiting();
            if (writes.length > 0) {
                this.#write(writes);
            }
            return null;
        }
        if (this.isReplaying || this.waiting.size === 0) {
            return isIdle ? this.#stuck() : null;
        }
        return isIdle || mayWait ? this.#rest() : null;
    }

    #stuck() {
        if (this.isReplaying) {
            this.#missing();
        } else {
            this.#fail(new NonRetryableError("The run waits for something that cannot happen: no step is under way."));
        }
        return this.takeRest(true, true);
    }

    #rest() {
        const writes = [...this.#takeAcks(), ...this.#takeWaiting()];
        const due = Math.min(...[...this.waiting].map((step) => step.due));
        writes.push(["wait", due]);
        return { isLast: due > Date.now() + KEEP_MS, writes };
    }

    /* The journal goes on with a step that the code has not asked for. */
    #missing() {
        const next = this.learned[this.learnedNext] ?? [...this.steps.values()].find((step) => !step.isCalled);
        const asked = this.held.map((step) => `"${step.name}"`).join(", ");
        this.#diverge(next, asked === "" ? "is not asked for any more" : `is not asked for any more, but ${asked} is`);
    }
}

const KEEP_MS = 2000; /* a run that goes on so soon keeps its isolate */
