/* The code of a namespace: deployed, told of, brought back, and what it logs. */

import { namespacePath, query, segment } from "./address.js";
import type { CallOptions, Connection } from "./exchange.js";
import { passFetch, pathOf } from "./passthrough.js";
import { decode, encode } from "./values.js";
import { Stream } from "./watch.js";

export interface Deployment {
    /** Sources by their names. */
    modules: Record<string, string>;
    main: string;
    env?: Record<string, unknown> | undefined;
    classes?: readonly string[] | undefined;
    bindings?: Record<string, string> | undefined;
    egress?: { allow: readonly string[]; inject?: Record<string, Record<string, string>>; requests_per_minute?: number } | undefined;
    source_maps?: Record<string, string> | undefined;
}

export interface DeploymentInfo {
    namespace: string;
    version: number;
    created: number;
    main: string;
    classes: { name: string; kind: "object" | "workflow" | "other"; methods: string[] }[];
    bindings: Record<string, string>;
    env: string[];
    egress?: any;
}

export interface VersionInfo {
    version: number;
    created: number;
    classes: string[];
    bytes: number;
    of: number | null;
}

export interface LogOptions extends CallOptions {
    className?: string | undefined;
    /** Of one actor of the class. */
    id?: string | undefined;
    /** False: ends where the stream breaks; what is logged meanwhile does not come either way. */
    follow?: boolean | undefined;
}

export type LogLine =
    | { type: "log"; time: number; class: string | null; id: string | null; level: "debug" | "log" | "info" | "warn" | "error"; text: string }
    /** So many lines did not fit. */
    | { type: "lost"; count: number };

export class Namespace {
    private readonly path: string;

    constructor(private readonly connection: Connection, readonly name: string) {
        this.path = namespacePath(name);
    }

    /** `invalid_code`, with `place`, where the code does not parse, link or load. Sent again only where nothing was done. */
    deploy(deployment: Deployment, options?: CallOptions): Promise<{ version: number; classes: string[] }> {
        return this.connection.json({ method: "PUT", path: this.path, body: encode(deployment), repeats: "plain", options });
    }

    /** What is in force. `no_such_deployment` where nothing is. */
    info(options?: CallOptions): Promise<DeploymentInfo> {
        return this.connection.json({ method: "GET", path: this.path, options });
    }

    /** The newest first. */
    async versions(options?: CallOptions): Promise<VersionInfo[]> {
        const answer = await this.connection.json<{ versions: VersionInfo[] }>({ method: "GET", path: `${this.path}/versions`, options });
        return answer.versions;
    }

    /** To this version, or to that before the one in force, under a new number. */
    rollback(version?: number, options?: CallOptions): Promise<{ version: number; of: number; classes: string[] }> {
        return this.connection.json({
            method: "POST", path: `${this.path}/rollback`, body: encode({ version }), repeats: "plain", options,
        });
    }

    /** What the code logs from now on. */
    logs(options: LogOptions = {}): Stream<LogLine> {
        const path = `${this.path}/logs${query({ class: options.className, id: options.id, follow: true })}`;
        return new Stream<LogLine>(
            (_, signal) => this.connection.open({ method: "GET", path, options, headers: { Accept: "text/event-stream" } }, signal),
            (raw) => ({ type: raw.event, ...(decode(raw.data) as object) }) as LogLine, options.follow !== false, this.connection, options);
    }

    /** The module's own fetch(). */
    fetch(path: string, init?: RequestInit): Promise<Response> {
        return passFetch(this.connection, `/w/${this.name}${pathOf(path)}`, init, {});
    }

    /** Sealed in the cluster; nobody can read it back. */
    async putSecret(name: string, value: string, options?: CallOptions): Promise<void> {
        await this.connection.run({
            method: "PUT", path: `/admin/v1/namespaces/${this.name}/secrets/${segment(name, "The secret's name")}`,
            body: encode({ value }), repeats: "same", options,
        });
    }

    /** The actors that hold state, without waking them. */
    async *actors(options: CallOptions & { className?: string | undefined; prefix?: string | undefined; pageSize?: number | undefined } = {}): AsyncGenerator<ListedActor, void, void> {
        let cursor: string | undefined;
        do {
            const page: { actors: ListedActor[]; next: string | null } = await this.connection.json({
                method: "GET", options,
                path: `/admin/v1/namespaces/${this.name}/actors${query({ class: options.className, prefix: options.prefix, limit: options.pageSize, cursor })}`,
            });
            yield* page.actors;
            cursor = page.next ?? undefined;
        } while (cursor !== undefined);
    }
}

export interface ListedActor {
    class: string;
    id: string;
    state: "awake" | "hibernated";
    version: number;
    bytes: number;
}

