// An order: paid for, approved by a person within three days, shipped; or paid back. It may take a week, and survives
// whatever dies meanwhile. A step that has ended never runs again; what it does to the outside has a key of its own.
//
//     dormouse deploy examples/workflow
//     curl -X POST http://127.0.0.1:7420/w/orders/order-17 -d '{"item":"lamp","amount":30}'
//     curl -X POST http://127.0.0.1:7420/v1/orders/Order/order-17/workflow/events -d '{"type":"approval","payload":{"ok":true}}'
//     curl http://127.0.0.1:7420/w/orders/order-17
import { WorkflowEntrypoint } from "cloudflare:workers";
import { NonRetryableError } from "cloudflare:workflows";

interface Params {
    item: string;
    amount: number;
}

interface Event {
    payload: Params;
    instanceId: string;
}

interface Step {
    do<T>(name: string, config: object | (() => Promise<T>), run?: object | (() => Promise<T>), undo?: object): Promise<T>;
    sleep(name: string, duration: string | number): Promise<void>;
    waitForEvent<T>(name: string, options: { type: string; timeout: string }): Promise<{ payload: T }>;
}

interface Instance {
    id: string;
    status(): Promise<{ status: string; output?: unknown; error?: unknown }>;
}

interface Env {
    SHOP?: string; // the address of a server that takes payments; without one they are pretended
    ORDERS: { create(options: { id: string; params: Params }): Promise<Instance>; get(id: string): Promise<Instance> };
}

export class Order extends WorkflowEntrypoint {
    declare env: Env;

    async run(event: Event, step: Step) {
        const { item, amount } = event.payload;
        if (!(amount > 0)) {
            throw new NonRetryableError(`not an amount: ${amount}`);
        }
        const patient = { retries: { limit: 10, delay: "2 seconds", backoff: "exponential" }, timeout: "30 seconds" };
        const payment = await step.do("charge", patient, () => this.ask("charge", event, { amount }), {
            rollback: ({ output }: { output?: string }) => this.ask("refund", event, { payment: output }),
        });
        const said = await step.waitForEvent<{ ok: boolean }>("approval", { type: "approval", timeout: "3 days" });
        if (!said.payload.ok) {
            throw new NonRetryableError("not approved"); // what was paid is paid back
        }
        await step.sleep("packing", 500);
        const parcel = await step.do("ship", patient, () => this.ask("ship", event, { item }));
        return { payment, parcel };
    }

    // Asked twice with the same key, the server acts once.
    async ask(what: string, event: Event, body: object): Promise<string> {
        const key = `${event.instanceId}/${what}`;
        if (this.env.SHOP === undefined) {
            return key;
        }
        const answer = await fetch(`${this.env.SHOP}/${what}`, {
            method: "POST", headers: { "Idempotency-Key": key }, body: JSON.stringify(body),
        });
        if (!answer.ok) {
            throw new Error(`${what}: ${answer.status}`);
        }
        return answer.text();
    }
}

export default {
    async fetch(request: Request, env: Env): Promise<Response> {
        const id = decodeURIComponent(new URL(request.url).pathname.slice(1));
        if (request.method === "POST") {
            await env.ORDERS.create({ id, params: await request.json() });
            return Response.json({ id }, { status: 201 });
        }
        return Response.json(await (await env.ORDERS.get(id)).status());
    },
};
