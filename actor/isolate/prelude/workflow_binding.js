/* Workflow: env.NAME, the workflow that a binding names, and its instances. */
import * as channel from "./channel.js";
import * as reader from "./reader.js";
import { checkName } from "./namespace.js";
import { crypto } from "./web/crypto/crypto.js";
import { encodeCopy, read, uncloneable } from "./clone.js";
import { notImplemented } from "./errors.js";

const BATCH_MAX = 100;

function ask(className, id, verb, body) {
    return new Promise((resolve, reject) => {
        channel.askOutside("workflow", [className, null, id, verb, encodeCopy(body)], {
            answered: () => resolve(reader.binHead() < 0 ? undefined : read()),
            failed: reject,
        });
    });
}

export class WorkflowInstance {
    #className;
    #id;

    constructor(className, id) {
        this.#className = className;
        this.#id = id;
    }

    get id() {
        return this.#id;
    }

    async status() {
        const { status, output, error } = await ask(this.#className, this.#id, "status", {});
        return { status, error: error ?? undefined, output: output ?? undefined };
    }

    async pause() {
        await ask(this.#className, this.#id, "pause", {});
    }

    async resume() {
        await ask(this.#className, this.#id, "resume", {});
    }

    async terminate(options) {
        if (options?.rollback) {
            throw notImplemented("terminate({ rollback: true })");
        }
        await ask(this.#className, this.#id, "terminate", {});
    }

    /* {from: {name}} */
    async restart(options) {
        const from = options?.from;
        const name = typeof from === "string" ? from : from?.name;
        await ask(this.#className, this.#id, "restart", name === undefined ? {} : { from: name });
    }

    async sendEvent({ type, payload } = {}) {
        await ask(this.#className, this.#id, "event", payload === undefined ? { type } : { type, payload });
    }
}

export class Workflow {
    #className;

    constructor(className) {
        this.#className = className;
    }

    async create({ id = crypto.randomUUID(), params } = {}) {
        id = checkName(id);
        await ask(this.#className, id, "create", params === undefined ? {} : { params });
        return new WorkflowInstance(this.#className, id);
    }

    /* Of an array: those that were there already are left out. Of {instances}: {created, errors}. */
    async createBatch(batch) {
        const list = Array.isArray(batch) ? batch : batch?.instances;
        if (!Array.isArray(list) || list.length > BATCH_MAX) {
            throw new TypeError(`createBatch() takes an array of at most ${BATCH_MAX} instances.`);
        }
        const created = [];
        const errors = [];
        const settled = await Promise.allSettled(list.map((options) => this.create(options)));
        settled.forEach(({ value, reason }, index) => {
            if (value !== undefined) {
                created.push(value);
            } else if (Array.isArray(batch) && reason.code !== "conflict") {
                throw reason;
            } else {
                errors.push({ index, id: list[index]?.id, error: { name: reason.name, message: reason.message } });
            }
        });
        return Array.isArray(batch) ? created : { created, errors };
    }

    async get(id) {
        const instance = new WorkflowInstance(this.#className, checkName(id));
        await instance.status();
        return instance;
    }
}

for (const base of [Workflow, WorkflowInstance]) {
    Object.defineProperty(base.prototype, uncloneable, { value: true });
}
