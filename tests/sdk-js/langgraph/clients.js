// Savers and stores of a namespace of their own.
import { DormouseSaver, DormouseStore } from "@dormouse/langgraph";
import { Dormouse } from "dormouse";

const run = Math.random().toString(36).slice(2, 10);
let count = 0;

export function newClient() {
    return new Dormouse({ url: process.env.DORMOUSE_URL.split(","), namespace: `t-${run}-${count++}`, timeoutMs: 50_000 });
}

export function newSaver(client = newClient()) {
    return new DormouseSaver({ client });
}

export function newStore(options = {}) {
    return new DormouseStore({ client: newClient(), ...options });
}
