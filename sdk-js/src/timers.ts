/* The timers of an actor: at least once, never early, also across restarts and failover. */

import { segment } from "./address.js";
import type { CallOptions, Connection } from "./exchange.js";
import { encode } from "./values.js";

export interface TimerSpec {
    /** Due at that time. */
    at?: Date | number | undefined;
    /** Due so many milliseconds from now. */
    in?: number | undefined;
    /** Repeats, counted from the scheduled time; at least 1000. */
    every?: number | undefined;
    /** Repeats on the calendar: "m h dom mon dow". */
    cron?: string | undefined;
    /** The time zone of `cron`, an IANA name. */
    tz?: string | undefined;
    payload?: unknown;
    /** Where the firing is POSTed. */
    webhook?: string | undefined;
    /** What becomes of repetitions that were missed while the cluster was down. */
    catchUp?: "one" | "all" | "none" | undefined;
}

export interface Timer {
    name: string;
    /** The next due time. */
    at: number;
    every?: number;
    cron?: string;
    tz?: string;
    payload?: any;
    webhook?: string;
    catch_up?: "one" | "all" | "none";
    /** "failed": delivery was given up. */
    state?: string;
    error?: unknown;
}

export class Timers {
    constructor(private readonly connection: Connection, private readonly path: string,
        private readonly defaults: CallOptions) {}

    private name(name: string): string {
        return `${this.path}/timers/${segment(name, "The timer's name")}`;
    }

    async set(name: string, spec: TimerSpec, options?: CallOptions): Promise<Timer> {
        const { at, catchUp, ...rest } = spec;
        const body = { ...rest, at: at instanceof Date ? at.getTime() : at, catch_up: catchUp };
        return this.connection.json({
            method: "PUT", path: this.name(name), body: encode(body), options: { ...this.defaults, ...options },
        });
    }

    /** `no_such_timer` where there is none. */
    async get(name: string, options?: CallOptions): Promise<Timer> {
        return this.connection.json({ method: "GET", path: this.name(name), options: { ...this.defaults, ...options } });
    }

    async list(options?: CallOptions): Promise<Timer[]> {
        const answer = await this.connection.json<{ timers: Timer[] }>({
            method: "GET", path: `${this.path}/timers`, options: { ...this.defaults, ...options },
        });
        return answer.timers;
    }

    async delete(name: string, options?: CallOptions): Promise<void> {
        await this.connection.run({ method: "DELETE", path: this.name(name), options: { ...this.defaults, ...options } });
    }
}
