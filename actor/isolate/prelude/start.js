/* START: what this isolate is going to be. */
import * as channel from "./channel.js";
import * as gate from "./gate.js";
import * as lifecycle from "./lifecycle.js";
import { DurableObjectId } from "./object_id.js";
import { DurableObjectNamespace } from "./namespace.js";
import { DurableObjectState } from "./state.js";
import { Modules, placeOf, setModuleEnv } from "./modules.js";
import { check } from "./check.js";
import { decode } from "./clone.js";
import { describe, notImplemented } from "./errors.js";
import { restoreSockets } from "./sockets.js";
import { rights } from "./storage.js";
import { ExecutionContext, setEntry } from "./entry.js";
import { setInstance } from "./instance.js";
import { startExecute } from "./execute.js";
import { Workflow } from "./workflow_binding.js";
import { WorkflowEntrypoint } from "./entrypoints.js";
import { setWorkflow } from "./workflow.js";

function makeEnv(start) {
    const env = start.env ? decode(start.env) : {};
    const workflows = new Set(start.workflows ?? []);
    for (const [name, className] of Object.entries(start.bindings ?? {})) {
        env[name] = workflows.has(className) ? new Workflow(className) : new DurableObjectNamespace(className);
    }
    return env;
}

async function loadMain(start) {
    const modules = new Modules();
    let main = {};
    for (const [name] of start.modules) {
        modules.declare(name);
    }
    for (const [name, code] of start.modules) {
        const exports = await modules.evaluate(name, code);
        if (name === start.main) {
            main = exports;
        }
    }
    return main;
}

async function startClass(start) {
    const env = makeEnv(start);
    setModuleEnv(env, lifecycle.waitUntil);
    const main = await loadMain(start);
    const constructor = main[start.class];
    if (typeof constructor !== "function") {
        throw new TypeError(`The module exports no class "${start.class}".`);
    }
    if (constructor.prototype instanceof WorkflowEntrypoint) {
        const workflow = new constructor(new ExecutionContext(), env);
        setInstance(workflow); /* timers of its actor may come too */
        setWorkflow(workflow, start.name ?? start.id, start.class);
        return;
    }
    rights.hasAlarm = typeof constructor.prototype?.alarm === "function";
    const id = new DurableObjectId(start.class, start.id, start.name ?? undefined);
    restoreSockets(start.sockets ?? [], start.auto);
    setInstance(new constructor(new DurableObjectState(id), env));
}

/* The entry module, whose default export answers requests. */
async function startModule(start) {
    const env = makeEnv(start);
    setModuleEnv(env, lifecycle.waitUntil);
    setEntry((await loadMain(start)).default, env);
}

const modes = {
    class: startClass,
    module: startModule,
    check: (start) => check(start, makeEnv(start)),
    execute: startExecute,
};

/* Events wait until there is something to deliver them to. */
export function start(options) {
    gate.block();
    const mode = modes[options.mode];
    const started = mode ? mode(options)
        : Promise.reject(notImplemented(`the mode ${options.mode}`));
    started.then((info) => {
        channel.sendStarted(info ?? null);
        gate.unblock();
    }, (error) => {
        const told = describe(error);
        lifecycle.fail(Object.assign(told, placeOf(error ?? {})));
    });
}
