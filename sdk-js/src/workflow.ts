/* The workflow of an actor whose class extends WorkflowEntrypoint. */

import { DormouseError } from "./errors.js";
import { pause, type CallOptions, type Connection } from "./exchange.js";
import { encode } from "./values.js";

export type WorkflowStatus = "queued" | "running" | "waiting" | "paused" | "errored" | "terminated" | "complete";

export interface WorkflowStep {
    name: string;
    attempts: number;
    status: string;
    started: number;
    ended: number | null;
    output?: any;
    error?: any;
}

export interface WorkflowInfo<O = any> {
    status: WorkflowStatus;
    output: O | null;
    error: any;
    steps: WorkflowStep[];
}

export interface WaitOptions extends CallOptions {
    /** How long to wait in all; without end where nobody says. */
    waitMs?: number | undefined;
    /** Between two looks; grows to this. */
    everyMs?: number | undefined;
}

const ENDED = new Set<WorkflowStatus>(["errored", "terminated", "complete"]);

export class Workflow {
    constructor(private readonly connection: Connection, private readonly path: string,
        private readonly defaults: CallOptions) {}

    private post<T>(part: string, body: object, options: CallOptions | undefined): Promise<T> {
        return this.connection.json({
            method: "POST", path: `${this.path}/workflow${part}`, body: encode(body), options: { ...this.defaults, ...options },
        });
    }

    /** Starts the run. `conflict` where it ran already. */
    create(params?: unknown, options?: CallOptions): Promise<{ status: WorkflowStatus }> {
        return this.post("", { params }, options);
    }

    async status<O = any>(options?: CallOptions): Promise<WorkflowInfo<O>> {
        return this.connection.json({ method: "GET", path: `${this.path}/workflow`, options: { ...this.defaults, ...options } });
    }

    /** It is kept until a step waits for it. */
    async sendEvent(type: string, payload?: unknown, options?: CallOptions): Promise<void> {
        await this.connection.run({
            method: "POST", path: `${this.path}/workflow/events`, body: encode({ type, payload }), options: { ...this.defaults, ...options },
        });
    }

    private async control(verb: string, options: CallOptions | undefined, body: object = {}): Promise<void> {
        await this.connection.run({
            method: "POST", path: `${this.path}/workflow/${verb}`, body: encode(body), options: { ...this.defaults, ...options },
        });
    }

    async pause(options?: CallOptions): Promise<void> {
        await this.control("pause", options);
    }

    async resume(options?: CallOptions): Promise<void> {
        await this.control("resume", options);
    }

    async terminate(options?: CallOptions): Promise<void> {
        await this.control("terminate", options);
    }

    /** From the beginning, or from the step of this name. */
    async restart(options: CallOptions & { from?: string | undefined } = {}): Promise<void> {
        const { from, ...call } = options;
        await this.control("restart", call, { from });
    }

    /** How the run ended: looked for again and again until it has. */
    async ended<O = any>(options: WaitOptions = {}): Promise<WorkflowInfo<O>> {
        const { waitMs = Infinity, everyMs = 2000, ...call } = options;
        const until = performance.now() + waitMs;
        for (let delay = 50; ; delay = Math.min(delay * 2, everyMs)) {
            const info = await this.status<O>(call);
            if (ENDED.has(info.status)) {
                return info;
            }
            if (performance.now() + delay >= until) {
                throw new DormouseError(`The workflow is ${info.status} still.`, { code: "timeout", retryable: true });
            }
            await pause(delay, call.signal ?? this.defaults.signal);
        }
    }
}
