/* Steps of a run of one's own: each is run by one worker at a time, and its result is kept. */

import { segment } from "./address.js";
import { DormouseError } from "./errors.js";
import { makeKey, pause, type CallOptions, type Connection } from "./exchange.js";
import { encode } from "./values.js";

const LEASE_MS = 60_000;

export type StepState =
    /** The caller runs it now. */
    | { state: "run"; attempt: number; lease: string }
    | { state: "done"; output: any }
    /** Another runs it, or a retry is not due. */
    | { state: "busy"; retryAfterMs: number }
    | { state: "failed"; error: any };

export interface StepInfo {
    name: string;
    state: "running" | "waiting" | "done" | "failed";
    attempts: number;
    started: number;
    ended: number | null;
    output?: any;
    error?: any;
}

export interface BeginOptions extends CallOptions {
    leaseMs?: number | undefined;
    input?: unknown;
}

export interface FailOptions extends CallOptions {
    /** Without it the step has failed for good. */
    retryInMs?: number | undefined;
}

export interface RunOptions extends CallOptions {
    /** How long a worker that died keeps others from the step; it is prolonged while the function runs. */
    leaseMs?: number | undefined;
    input?: unknown;
    /** Attempts in all, those of other workers included; 1 where nobody says. */
    attempts?: number | undefined;
    /** Before the next attempt; 10 s where nobody says. */
    retryInMs?: number | ((attempt: number) => number) | undefined;
}

export interface StepContext {
    attempt: number;
    /** Aborted where the lease was lost: another worker may run the step. */
    signal: AbortSignal;
}

/** A step that has failed for good; `error` is what its last attempt left. */
export class StepFailed extends Error {
    override readonly name = "StepFailed";
    constructor(readonly step: string, readonly error: any) {
        super(`The step "${step}" has failed: ${String((error as Error | null)?.message ?? error)}`);
    }
}

export class Steps {
    constructor(private readonly connection: Connection, private readonly path: string,
        private readonly defaults: CallOptions) {}

    private name(name: string): string {
        return `${this.path}/steps/${segment(name, "The step's name")}`;
    }

    async begin(name: string, options: BeginOptions = {}): Promise<StepState> {
        const { leaseMs = LEASE_MS, input, ...call } = options;
        const answer = await this.connection.json<StepState & { retry_after_ms?: number }>({
            method: "POST", path: this.name(name), options: { ...this.defaults, ...call },
            body: encode({ lease_ms: leaseMs, input }),
        });
        return answer.state === "busy" ? { state: "busy", retryAfterMs: answer.retry_after_ms ?? 1000 } : answer;
    }

    private async put(name: string, body: object, options: CallOptions | undefined): Promise<void> {
        await this.connection.run({
            method: "PUT", path: this.name(name), body: encode(body), options: { ...this.defaults, ...options },
        });
    }

    /** The attempt succeeded. `lease_lost` where the lease is gone. */
    async finish(name: string, lease: string, output: unknown = null, options?: CallOptions): Promise<void> {
        await this.put(name, { lease, output }, options);
    }

    /** The attempt failed: for good, unless `retryInMs` says when it may be tried again. */
    async fail(name: string, lease: string, error: unknown = null, options: FailOptions = {}): Promise<void> {
        const { retryInMs, ...call } = options;
        await this.put(name, { lease, error, retry_in_ms: retryInMs }, call);
    }

    /** Prolongs the lease. */
    async extend(name: string, lease: string, ms: number, options?: CallOptions): Promise<void> {
        await this.put(name, { lease, extend_ms: ms }, options);
    }

    async list(options?: CallOptions): Promise<StepInfo[]> {
        const answer = await this.connection.json<{ steps: StepInfo[] }>({
            method: "GET", path: `${this.path}/steps`, options: { ...this.defaults, ...options },
        });
        return answer.steps;
    }

    /** Runs the function unless the step has finished, once at a time among all workers, and gives its output.
     * Waits while another worker has it. `timeoutMs` is that of each request, not of the step. */
    async run<T>(name: string, body: (step: StepContext) => Promise<T> | T, options: RunOptions = {}): Promise<T> {
        const { leaseMs = LEASE_MS, input, attempts = 1, retryInMs = 10_000, ...call } = options;
        for (;;) {
            const step = await this.begin(name, { leaseMs, input, ...call, idempotencyKey: makeKey() });
            if (step.state === "done") {
                return step.output as T;
            }
            if (step.state === "failed") {
                throw new StepFailed(name, step.error);
            }
            if (step.state === "run") {
                const result = await this.attempt(name, step, body, leaseMs, attempts, retryInMs, call);
                if (result !== undefined) {
                    return result.output;
                }
                continue;
            }
            await pause(Math.max(10, Math.min(step.retryAfterMs, leaseMs)), call.signal);
        }
    }

    /* The output; undefined where the step has to be looked at again. */
    private async attempt<T>(name: string, step: { attempt: number; lease: string }, body: (step: StepContext) => Promise<T> | T,
        leaseMs: number, attempts: number, retryInMs: number | ((attempt: number) => number), call: CallOptions): Promise<{ output: T } | undefined> {
        const lost = new AbortController();
        const keeper = setInterval(() => {
            this.extend(name, step.lease, leaseMs, call).catch((error: unknown) => {
                if (error instanceof DormouseError && !error.retryable) {
                    lost.abort(error);
                }
            });
        }, Math.max(100, leaseMs / 3));
        let output: T;
        try {
            output = await body({ attempt: step.attempt, signal: lost.signal });
        } catch (error) {
            clearInterval(keeper);
            const again = step.attempt < attempts;
            const delay = typeof retryInMs === "function" ? retryInMs(step.attempt) : retryInMs;
            await this.fail(name, step.lease, error, again ? { ...call, retryInMs: delay } : call).catch(whereLost);
            return undefined;
        } finally {
            clearInterval(keeper);
        }
        try {
            await this.finish(name, step.lease, output === undefined ? null : output, call);
            return { output };
        } catch (error) {
            whereLost(error);
            return undefined; // another worker took over: what that one finds counts
        }
    }
}

function whereLost(error: unknown): void {
    if (!(error instanceof DormouseError && error.code === "lease_lost")) {
        throw error;
    }
}
