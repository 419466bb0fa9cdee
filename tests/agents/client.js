/* Drives the npm package's own AgentClient: commands are lines of JSON on standard input, what happens comes as
 * lines of JSON on standard output (tests/integration/test_agents_client.py). */
import readline from "node:readline";
import WebSocket from "ws";
import { AgentClient, agentFetch } from "agents/client";

const [host, query] = [process.argv[2], JSON.parse(process.argv[3] ?? "{}")];
const clients = new Map();
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

function connect(id) {
    const client = new AgentClient({
        agent: "MyCounter", name: "a", host, query, WebSocket, minReconnectionDelay: 50, maxReconnectionDelay: 200,
        onStateUpdate: (state, source) => say({ on: "state", id, state, source }),
        onStateUpdateError: (error) => say({ on: "state_error", id, error }),
        onIdentity: (name, agent) => say({ on: "identity", id, name, agent }),
    });
    client.addEventListener("close", () => say({ on: "close", id }));
    clients.set(id, client);
    return client.ready;
}

const verbs = {
    connect: ({ id }) => connect(id),
    state: ({ id }) => clients.get(id).state,
    set: ({ id, state }) => clients.get(id).setState(state),
    call: ({ id, method, args }) => clients.get(id).stub[method](...args),
    stream: async ({ id, method, args }) => {
        const chunks = [];
        const last = await clients.get(id).call(method, args, { stream: { onChunk: (chunk) => chunks.push(chunk) } });
        return { chunks, last };
    },
    close: ({ id }) => clients.get(id).close(),
    fetch: async ({ path }) => (await agentFetch({ agent: "MyCounter", name: "a", host, path, query, protocol: "http" })).text(),
};

for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    try {
        say({ done: command.verb, result: await verbs[command.verb](command) });
    } catch (error) {
        say({ done: command.verb, error: error.message });
    }
}
process.exit(0);
