/* The files of a sandbox, by absolute paths; of any size. */

import { query } from "./address.js";
import { refused } from "./errors.js";
import type { CallOptions } from "./exchange.js";
import type { Door } from "./sandbox.js";

/* A URL has no steps up: they would be taken before anything is sent. */
function filePath(path: string): string {
    if (!path.startsWith("/") || /(^|\/)\.\.?(\/|$)/.test(path)) {
        throw refused("A file's path is absolute, without steps like `.` and `..`.");
    }
    return `/files${path.split("/").map(encodeURIComponent).join("/")}`;
}

export interface FileInfo {
    path: string;
    type: "file" | "directory" | "symlink" | (string & {});
    size: number;
    [more: string]: any;
}

export type FileContent = string | Uint8Array | ReadableStream<Uint8Array>;

export class Files {
    constructor(private readonly door: Door) {}

    private options(options: CallOptions | undefined): CallOptions {
        return { ...this.door.defaults, ...options };
    }

    /** The whole file. */
    async read(path: string, options?: CallOptions): Promise<Uint8Array> {
        const answer = await this.door.connection.run({
            method: "GET", path: this.door.path + filePath(path), options: this.options(options),
        });
        return answer.bytes;
    }

    async readText(path: string, options?: CallOptions): Promise<string> {
        return new TextDecoder().decode(await this.read(path, options));
    }

    /** The file as it comes. */
    async open(path: string, options?: CallOptions): Promise<ReadableStream<Uint8Array>> {
        const response = await this.door.connection.open({
            method: "GET", path: this.door.path + filePath(path), options: this.options(options),
        });
        return response.body ?? new ReadableStream({ start: (controller) => controller.close() });
    }

    /** `storage_full` over the quota. A stream is sent once: what it gave is gone. */
    async write(path: string, content: FileContent, options?: CallOptions): Promise<void> {
        const headers = { "Content-Type": "application/octet-stream" };
        const target = this.door.path + filePath(path);
        if (content instanceof ReadableStream) {
            const response = await this.door.connection.open({
                method: "PUT", path: target, body: content, headers, repeats: "plain", options: this.options(options),
            });
            await response.body?.cancel();
            return;
        }
        const body = typeof content === "string" ? new TextEncoder().encode(content) : content;
        await this.door.connection.run({ method: "PUT", path: target, body, headers, repeats: "same", options: this.options(options) });
    }

    async delete(path: string, options?: CallOptions): Promise<void> {
        await this.door.run("DELETE", filePath(path), undefined, options, "same");
    }

    /** The files of a folder, by their paths from it. */
    async list(path: string, options: CallOptions & { recursive?: boolean | undefined } = {}): Promise<FileInfo[]> {
        const part = `${filePath(path)}${query({ list: true, recursive: options.recursive || undefined })}`;
        return (await this.door.json<{ entries: FileInfo[] }>("GET", part, undefined, options)).entries;
    }

    async mkdir(path: string, options?: CallOptions): Promise<void> {
        await this.door.run("POST", `${filePath(path)}${query({ op: "mkdir" })}`, undefined, options);
    }

    async move(path: string, to: string, options?: CallOptions): Promise<void> {
        await this.door.run("POST", `${filePath(path)}${query({ op: "move", to })}`, undefined, options);
    }

    async copy(path: string, to: string, options?: CallOptions): Promise<void> {
        await this.door.run("POST", `${filePath(path)}${query({ op: "copy", to })}`, undefined, options);
    }
}
