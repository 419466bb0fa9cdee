/* The cluster and its tokens. */

import { segment } from "./address.js";
import type { CallOptions, Connection } from "./exchange.js";
import { encode } from "./values.js";

export interface ClusterInfo {
    members: { id: number; address: string; state: string }[];
    shards: { id: number; leader: number | null; replicas: number[]; lag: number }[];
}

export type Scope = "call" | "inspect" | "deploy" | "sandbox" | "admin";

export interface TokenInfo {
    id: string;
    namespace: string;
    scopes: Scope[];
    actor: string | null;
    created: number;
    expires: number | null;
}

export class Admin {
    constructor(private readonly connection: Connection) {}

    /** True while the process lives. */
    async health(options?: CallOptions): Promise<void> {
        await this.connection.run({ method: "GET", path: "/healthz", options });
    }

    /** `unavailable`, with the reasons, until every shard of the node has a leader. */
    async ready(options?: CallOptions): Promise<void> {
        await this.connection.run({ method: "GET", path: "/readyz", options });
    }

    /** What the node runs code with. */
    status(options?: CallOptions): Promise<any> {
        return this.connection.json({ method: "GET", path: "/admin/v1/status", options });
    }

    cluster(options?: CallOptions): Promise<ClusterInfo> {
        return this.connection.json({ method: "GET", path: "/admin/v1/cluster", options });
    }

    private async post(path: string, body: object | undefined, options: CallOptions | undefined): Promise<void> {
        await this.connection.run({
            method: "POST", path: `/admin/v1/cluster/${path}`, body: body && encode(body), repeats: "same", options,
        });
    }

    async drain(member: number, options?: CallOptions): Promise<void> {
        await this.post(`members/${member}/drain`, undefined, options);
    }

    async undrain(member: number, options?: CallOptions): Promise<void> {
        await this.post(`members/${member}/undrain`, undefined, options);
    }

    async moveShard(shard: number, from: number, to: number, options?: CallOptions): Promise<void> {
        await this.post(`shards/${shard}/move`, { from, to }, options);
    }

    async rebalance(options?: CallOptions): Promise<void> {
        await this.post("rebalance", undefined, options);
    }

    /** The only time that the token is shown. */
    createToken(token: { namespace: string; scopes: readonly Scope[]; actor?: string; ttlMs?: number }, options?: CallOptions): Promise<TokenInfo & { token: string }> {
        const { ttlMs, ...rest } = token;
        return this.connection.json({
            method: "POST", path: "/admin/v1/tokens", body: encode({ ...rest, ttl_ms: ttlMs }), repeats: "plain", options,
        });
    }

    async tokens(options?: CallOptions): Promise<TokenInfo[]> {
        return (await this.connection.json<{ tokens: TokenInfo[] }>({ method: "GET", path: "/admin/v1/tokens", options })).tokens;
    }

    async revokeToken(id: string, options?: CallOptions): Promise<void> {
        await this.connection.run({ method: "DELETE", path: `/admin/v1/tokens/${segment(id, "The id")}`, repeats: "plain", options });
    }
}
