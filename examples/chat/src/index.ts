// A chat room. Its sockets stay open while the room sleeps, so a quiet room costs nothing; who comes in gets
// what was said last.
//
//     dormouse deploy examples/chat
//     websocat 'ws://127.0.0.1:7420/v1/chat/Room/lobby/ws?name=ada'
import { DurableObject } from "cloudflare:workers";

interface Env {
    HISTORY: number;
}

interface Said {
    from: string;
    text: string;
    at: number;
}

const NAME_LENGTH_MAX = 32;
const TEXT_LENGTH_MAX = 2000;

export class Room extends DurableObject<Env> {
    constructor(ctx: DurableObjectState, env: Env) {
        super(ctx, env);
        // Answered without waking the room.
        ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
    }

    async fetch(request: Request): Promise<Response> {
        if (request.headers.get("Upgrade") !== "websocket") {
            return Response.json({ here: this.names(), history: await this.history() });
        }
        const name = new URL(request.url).searchParams.get("name")?.slice(0, NAME_LENGTH_MAX);
        if (!name) {
            return new Response("Who are you? ?name=NAME\n", { status: 400 });
        }
        const { 0: client, 1: server } = new WebSocketPair();
        this.ctx.acceptWebSocket(server, [name]);
        server.serializeAttachment({ name });
        server.send(JSON.stringify({ history: await this.history() }));
        this.tell({ joined: name }, server);
        return new Response(null, { status: 101, webSocket: client });
    }

    async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
        if (typeof message !== "string" || message.length > TEXT_LENGTH_MAX) {
            socket.send(JSON.stringify({ error: `a text of at most ${TEXT_LENGTH_MAX} characters` }));
            return;
        }
        const said: Said = { from: socket.deserializeAttachment().name, text: message, at: Date.now() };
        await this.keep(said);
        this.tell({ said }); // leaves once it is on disk
    }

    async webSocketClose(socket: WebSocket, code: number): Promise<void> {
        const { name } = socket.deserializeAttachment();
        socket.close(code === 1005 || code === 1006 ? 1000 : code);
        this.tell({ left: name }, socket);
    }

    private names(): string[] {
        return this.ctx.getWebSockets().map((socket) => socket.deserializeAttachment().name).sort();
    }

    private tell(news: object, except?: WebSocket): void {
        const text = JSON.stringify(news);
        for (const socket of this.ctx.getWebSockets()) {
            if (socket !== except) {
                socket.send(text);
            }
        }
    }

    // Keys sort as the numbers do, so the oldest come first.
    private async keep(said: Said): Promise<void> {
        const next = ((await this.ctx.storage.get<number>("next")) ?? 0) + 1;
        await this.ctx.storage.put({ next, [this.key(next)]: said });
        await this.ctx.storage.delete(this.key(next - this.env.HISTORY));
    }

    private key(number: number): string {
        return `said/${String(number).padStart(12, "0")}`;
    }

    private async history(): Promise<Said[]> {
        return [...(await this.ctx.storage.list<Said>({ prefix: "said/" })).values()];
    }
}
