/* A Linux machine of an actor. What goes in is named as JavaScript names things; what comes back has the API's names. */

import { query, segment } from "./address.js";
import { DormouseError, refused } from "./errors.js";
import type { CallOptions, Connection, Exchange } from "./exchange.js";
import { Files } from "./sandbox_files.js";
import { openTerminal, type Terminal, type TerminalOptions } from "./terminal.js";
import { SseStream, type RawEvent } from "./sse.js";
import { decode, encode } from "./values.js";
import { Stream } from "./watch.js";

export interface SandboxSpec {
    image?: string | undefined;
    limits?: { memoryMb?: number | undefined; cpus?: number | undefined; pids?: number | undefined; diskMb?: number | undefined } | undefined;
    egress?: {
        allow?: readonly string[] | undefined;
        inject?: Record<string, Record<string, string>> | undefined;
        requestsPerMinute?: number | undefined;
    } | undefined;
    sleepAfterMs?: number | undefined;
    env?: Record<string, string> | undefined;
}

export interface SandboxInfo {
    state: "running" | "frozen" | "asleep";
    [more: string]: any;
}

export interface ExecOptions extends CallOptions {
    cwd?: string | undefined;
    env?: Record<string, string> | undefined;
    stdin?: string | Uint8Array | undefined;
    /** When the program is killed; without it the call's own deadline cuts it off. */
    execTimeoutMs?: number | undefined;
}

export interface ExecResult {
    exit_code: number | null;
    signal: string | number | null;
    /** Bytes where it is no UTF-8. */
    stdout: string | Uint8Array;
    stderr: string | Uint8Array;
    cpu_ms: number;
    wall_ms: number;
    timed_out: boolean;
    oom_killed: boolean;
}

export type ExecEvent =
    | { type: "start"; [more: string]: any }
    | { type: "stdout" | "stderr"; text: string | Uint8Array }
    | ({ type: "exit" } & Omit<ExecResult, "stdout" | "stderr">);

export interface ProcessInfo {
    pid: number;
    state: "running" | "exited" | (string & {});
    exit_code: number | null;
    signal: string | number | null;
    [more: string]: any;
}

export interface ProcessLogs {
    stdout: string | Uint8Array;
    stderr: string | Uint8Array;
    /** Of the oldest output, which is not kept. */
    lost_bytes?: number;
}

export interface SnapshotInfo {
    id: string;
    name: string;
    [more: string]: any;
}

/** A shell's command line, or a program with its arguments. */
export type Command = string | readonly string[];

export type WaitFor =
    | { port: number }
    | { http: { port: number; path?: string; status?: [number, number] } }
    /** A regular expression that a line of the log matches. */
    | { log: string | RegExp }
    | { exit: true };

export type ChangeEvent = { type: "create" | "modify" | "delete" | "move" | "attrib" | "resync" | (string & {}); id: string; [more: string]: any };

export interface RunResult {
    results: Record<string, any>[];
    stdout: string;
    stderr: string;
    error: any;
}

function commandOf(command: Command): readonly string[] {
    const cmd = typeof command === "string" ? ["sh", "-c", command] : command;
    if (cmd.length === 0) {
        throw refused("The command is empty.");
    }
    return cmd;
}

function execBody(command: Command, options: ExecOptions): string {
    const { cwd, env, stdin, execTimeoutMs } = options;
    return encode({ cmd: commandOf(command), cwd, env, stdin, timeout_ms: execTimeoutMs });
}

/* A program that may run for longer than a call lasts has a call that lasts longer. */
function lasting(options: CallOptions, runMs: number | undefined): CallOptions {
    return options.timeoutMs !== undefined || runMs === undefined ? options : { ...options, timeoutMs: runMs + 10_000 };
}

function specBody(spec: SandboxSpec): string {
    const { limits: l, egress: e, sleepAfterMs, ...rest } = spec;
    return encode({
        ...rest, sleep_after_ms: sleepAfterMs,
        limits: l && { memory_mb: l.memoryMb, cpus: l.cpus, pids: l.pids, disk_mb: l.diskMb },
        egress: e && { allow: e.allow, inject: e.inject, requests_per_minute: e.requestsPerMinute },
    });
}

function eventOf<E>(raw: RawEvent): E {
    return { type: raw.event, id: raw.id, ...(decode(raw.data) as object) } as E;
}

/** Requests below one sandbox. */
export class Door {
    constructor(readonly connection: Connection, readonly path: string, readonly defaults: CallOptions) {}

    json<T>(method: string, part: string, body: string | undefined, options: CallOptions | undefined, repeats?: Exchange["repeats"]): Promise<T> {
        return this.connection.json({ method, path: this.path + part, body, repeats, options: { ...this.defaults, ...options } });
    }

    async run(method: string, part: string, body: string | undefined, options: CallOptions | undefined, repeats?: Exchange["repeats"]): Promise<void> {
        await this.connection.run({ method, path: this.path + part, body, repeats, options: { ...this.defaults, ...options } });
    }

    /** What a program writes, up to its exit. */
    async *follow(method: string, part: string, body: string | undefined, options: CallOptions | undefined): AsyncGenerator<ExecEvent, void, void> {
        const response = await this.connection.open({
            method, path: this.path + part, body, repeats: "plain", options: { ...this.defaults, ...options },
            headers: { Accept: "text/event-stream" },
        });
        const stream = new SseStream(response);
        try {
            for (;;) {
                const raw = await stream.next();
                if (raw === undefined) {
                    throw new DormouseError("The stream ended before the program.", { code: "unreachable", maybeApplied: method !== "GET" });
                }
                const event = eventOf<ExecEvent>(raw);
                yield event;
                if (event.type === "exit") {
                    return;
                }
            }
        } finally {
            stream.close();
        }
    }
}

export class Sandbox {
    readonly files: Files;
    private readonly door: Door;

    constructor(connection: Connection, actorPath: string, readonly name: string, defaults: CallOptions) {
        this.door = new Door(connection, `${actorPath}/sandboxes/${segment(name, "The sandbox's name")}`, defaults);
        this.files = new Files(this.door);
    }

    /** Makes it, or finds it as it is. */
    create(spec: SandboxSpec = {}, options?: CallOptions): Promise<SandboxInfo> {
        return this.door.json("PUT", "", specBody(spec), options, "same");
    }

    /** What it is; never wakes it. `no_such_sandbox` where there is none. */
    info(options?: CallOptions): Promise<SandboxInfo> {
        return this.door.json("GET", "", undefined, options);
    }

    /** Nothing of it is left. */
    async delete(options?: CallOptions): Promise<void> {
        await this.door.run("DELETE", "", undefined, options, "same");
    }

    /** Runs a program to its end. It is not run again after an answer that got lost, unless the options bring a key. */
    exec(command: Command, options: ExecOptions = {}): Promise<ExecResult> {
        return this.door.json("POST", "/exec", execBody(command, options), lasting(options, options.execTimeoutMs), "plain");
    }

    /** Runs a program, whose output comes as it is written. Whoever stops listening ends it. */
    async *stream(command: Command, options: ExecOptions = {}): AsyncGenerator<ExecEvent, void, void> {
        yield* this.door.follow("POST", "/exec", execBody(command, options), options);
    }

    /** Starts a program that stays. */
    async start(command: Command, options: Omit<ExecOptions, "execTimeoutMs"> = {}): Promise<SandboxProcess> {
        const answer = await this.door.json<{ pid: number }>("POST", "/processes", execBody(command, options), options);
        return new SandboxProcess(this.door, answer.pid);
    }

    /** Those that were started, also those that have ended. */
    async processes(options?: CallOptions): Promise<ProcessInfo[]> {
        return (await this.door.json<{ processes: ProcessInfo[] }>("GET", "/processes", undefined, options)).processes;
    }

    process(pid: number): SandboxProcess {
        return new SandboxProcess(this.door, pid);
    }

    /** What happens to its files. After "resync" events were lost: look again. */
    changes(path: string, options: CallOptions & { recursive?: boolean | undefined } = {}): Stream<ChangeEvent> {
        const target = `${this.door.path}/changes${query({ path, recursive: options.recursive || undefined })}`;
        return new Stream<ChangeEvent>(
            (lastId, signal) => this.door.connection.open({
                method: "GET", path: target, options,
                headers: { Accept: "text/event-stream", "Last-Event-ID": lastId || undefined },
            }, signal),
            eventOf<ChangeEvent>, true, this.door.connection, { ...this.door.defaults, ...options });
    }

    /** A terminal, new or one that is there. It connects again by itself and misses nothing that is kept. */
    terminal(options: TerminalOptions = {}): Promise<Terminal> {
        return openTerminal(this.door, options);
    }

    /** A code interpreter that keeps its variables. */
    async context(language: "python" | "javascript", options?: CallOptions): Promise<CodeContext> {
        const { id } = await this.door.json<{ id: string }>("POST", "/contexts", encode({ language }), options);
        return new CodeContext(this.door, id);
    }

    /** The URL under which the port is reached from outside. */
    async expose(port: number, options?: CallOptions): Promise<string> {
        return (await this.door.json<{ url: string }>("POST", `/ports/${port}`, undefined, options)).url;
    }

    async unexpose(port: number, options?: CallOptions): Promise<void> {
        await this.door.run("DELETE", `/ports/${port}`, undefined, options);
    }

    /** Its disk is kept, its memory freed. Any later request wakes it. */
    async sleep(options?: CallOptions): Promise<void> {
        await this.door.run("POST", "/sleep", undefined, options);
    }

    async wake(options?: CallOptions): Promise<void> {
        await this.door.run("POST", "/wake", undefined, options);
    }

    /** Keeps the disk as it is, under a name, until that is deleted; gives the id. */
    async snapshot(name: string, options?: CallOptions): Promise<string> {
        return (await this.door.json<{ id: string }>("POST", "/snapshots", encode({ name }), options)).id;
    }

    async snapshots(options?: CallOptions): Promise<SnapshotInfo[]> {
        return (await this.door.json<{ snapshots: SnapshotInfo[] }>("GET", "/snapshots", undefined, options)).snapshots;
    }

    async deleteSnapshot(id: string, options?: CallOptions): Promise<void> {
        await this.door.run("DELETE", `/snapshots/${segment(id, "The snapshot's id")}`, undefined, options);
    }

    /** The disk is as it was then. */
    async restore(snapshot: string, options?: CallOptions): Promise<void> {
        await this.door.run("POST", "/restore", encode({ snapshot }), options);
    }

    /** A new sandbox, of this or another actor, with the same disk. */
    async fork(target: { id: string; name: string }, options?: CallOptions): Promise<void> {
        await this.door.run("POST", "/fork", encode(target), options);
    }
}

/** A program of a sandbox that runs beside the calls. */
export class SandboxProcess {
    private readonly part: string;

    constructor(private readonly door: Door, readonly pid: number) {
        this.part = `/processes/${pid}`;
    }

    info(options?: CallOptions): Promise<ProcessInfo> {
        return this.door.json("GET", this.part, undefined, options);
    }

    async kill(signal = 15, options?: CallOptions): Promise<void> {
        await this.door.run("DELETE", `${this.part}${query({ signal })}`, undefined, options);
    }

    /** Until it is ready, or for `waitMs`: then the error is `timeout`. */
    async wait(what: WaitFor, options: CallOptions & { waitMs?: number | undefined } = {}): Promise<any> {
        const { waitMs, ...call } = options;
        const body = "log" in what && what.log instanceof RegExp ? { log: what.log.source } : what;
        return this.door.json("POST", `${this.part}/wait`, encode({ ...body, timeout_ms: waitMs }), lasting(call, waitMs), "same");
    }

    /** What it has written and is kept. */
    logs(options?: CallOptions): Promise<ProcessLogs> {
        return this.door.json("GET", `${this.part}/logs`, undefined, options);
    }

    /** What it has written and writes, up to its exit. Whoever stops listening may come back. */
    follow(options?: CallOptions): AsyncGenerator<ExecEvent, void, void> {
        return this.door.follow("GET", `${this.part}/logs?follow=true`, undefined, options);
    }
}

export class CodeContext {
    constructor(private readonly door: Door, readonly id: string) {}

    run(code: string, options: CallOptions & { runTimeoutMs?: number | undefined } = {}): Promise<RunResult> {
        const { runTimeoutMs, ...call } = options;
        return this.door.json("POST", `/contexts/${segment(this.id, "The id")}/run`, encode({ code, timeout_ms: runTimeoutMs }), lasting(call, runTimeoutMs), "plain");
    }

    async delete(options?: CallOptions): Promise<void> {
        await this.door.run("DELETE", `/contexts/${segment(this.id, "The id")}`, undefined, options);
    }
}
