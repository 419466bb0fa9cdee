/* The messages of the npm package `agents` (0.32): JSON in text frames, told apart by "type".
 *
 *     client                                     agent
 *       connects            -->  cf_agent_identity, cf_agent_state, cf_agent_mcp_servers
 *       cf_agent_state      -->  cf_agent_state to all others, or cf_agent_state_error
 *       rpc {id, method, args} --> rpc {id, success, done, result}; of a stream several, the last is done
 *
 * All else is the class's own. */
import { kebabOf } from "./routing.js";

const callables = new WeakMap(); /* by function: what callable() was given */

/* A decorator: clients may call the method. Both forms: of the language (value, context) and the old one
 * (target, name, descriptor). */
export function callable(options = {}) {
    return (target, name, descriptor) => {
        const method = descriptor?.value ?? target;
        if (typeof method !== "function") {
            throw new TypeError("callable() is for methods.");
        }
        callables.set(method, options);
        return descriptor ?? target;
    };
}

export class StreamingResponse {
    #send;
    #isClosed = false;

    constructor(send) {
        this.#send = send;
    }

    get isClosed() {
        return this.#isClosed;
    }

    #checkOpen() {
        if (this.#isClosed) {
            throw new Error("The stream has ended already.");
        }
    }

    send(chunk) {
        this.#checkOpen();
        this.#send({ success: true, done: false, result: chunk });
    }

    end(chunk) {
        this.#checkOpen();
        this.#isClosed = true;
        this.#send({ success: true, done: true, result: chunk });
    }

    error(message) {
        this.#checkOpen();
        this.#isClosed = true;
        this.#send({ success: false, error: String(message) });
    }
}

const textOf = (error) => String(error?.message ?? error);

export function greet(agent, className, connection) {
    if (!connection.hasProtocol) {
        return;
    }
    const { state } = agent;
    const send = (message) => connection.send(JSON.stringify(message));
    const stateFollows = state !== undefined;
    send({ type: "cf_agent_identity", name: agent.name, agent: kebabOf(className), stateFollows });
    if (stateFollows) {
        send({ type: "cf_agent_state", state });
    }
    send({ type: "cf_agent_mcp_servers", mcp: { prompts: [], resources: [], servers: {}, tools: [] } });
}

export function sendState(agent, state, without) {
    const message = JSON.stringify({ type: "cf_agent_state", state });
    for (const connection of agent.getConnections()) {
        if (connection.hasProtocol && !without.includes(connection.id)) {
            connection.sendIfOpen(message);
        }
    }
}

function takeState(connection, message, change) {
    const refuse = (error) => connection.sendIfOpen(JSON.stringify({ type: "cf_agent_state_error", error }));
    if (connection.isReadonly) {
        refuse("Connection is readonly");
        return;
    }
    try {
        change(message.state);
    } catch (error) {
        refuse(textOf(error));
    }
}

function methodOf(agent, name) {
    const method = agent[name];
    if (typeof name !== "string" || typeof method !== "function") {
        throw new Error(`Method ${name} does not exist`);
    }
    const options = callables.get(method);
    if (options === undefined) {
        throw new Error(`Method ${name} is not callable`);
    }
    return { method, options };
}

async function takeCall(agent, connection, { id, method: name, args }) {
    const answer = (message) => connection.sendIfOpen(JSON.stringify({ type: "rpc", id, ...message }));
    try {
        const { method, options } = methodOf(agent, name);
        const given = Array.isArray(args) ? args : [];
        if (!options.streaming) {
            answer({ success: true, done: true, result: await method.apply(agent, given) });
            return;
        }
        const stream = new StreamingResponse(answer);
        try {
            await method.call(agent, stream, ...given);
        } catch (error) {
            if (!stream.isClosed) {
                stream.error(textOf(error));
            }
            return;
        }
        if (!stream.isClosed) {
            stream.end();
        }
    } catch (error) {
        answer({ success: false, error: textOf(error) });
    }
}

/* True: it was a message of the protocol. */
export async function take(agent, connection, text, change) {
    let message = null;
    if (typeof text !== "string" || !text.startsWith("{")) {
        return false;
    }
    try {
        message = JSON.parse(text);
    } catch {
        return false;
    }
    if (message.type === "cf_agent_state" && "state" in message) {
        takeState(connection, message, change);
        return true;
    }
    if (message.type === "rpc" && typeof message.id === "string" && "method" in message) {
        await takeCall(agent, connection, message);
        return true;
    }
    return false;
}
