// An agent for each user. It remembers what was said, asks a model that speaks the API of OpenAI's chat
// completions (Ollama, vLLM, llama.cpp and others do), and reminds the model of things when their time has come.
//
//     dormouse deploy examples/agent --var MODEL_URL=http://localhost:11434/v1/chat/completions
//     dormouse call agent/Agent/ada ask 'What is a dormouse?'
import { DurableObject } from "cloudflare:workers";

interface Env {
    MODEL_URL: string;
    MODEL: string;
    INSTRUCTIONS: string;
    MODEL_KEY?: string;
}

interface Message {
    role: "system" | "user" | "assistant";
    content: string;
}

const SHOWN_MAX = 40; // messages that the model is shown
const KEPT_MAX = 400;

export class Agent extends DurableObject<Env> {
    private turn: Promise<unknown> = Promise.resolve();

    // While the model thinks other calls come in: each waits for the one before it.
    ask(text: string): Promise<string> {
        const answer = this.turn.then(() => this.run({ role: "user", content: text }));
        this.turn = answer.catch(() => undefined);
        return answer;
    }

    async messages(): Promise<Message[]> {
        return (await this.ctx.storage.get<Message[]>("messages")) ?? [];
    }

    // Comes true also where the node was stopped meanwhile.
    async remind(text: string, in_ms: number): Promise<void> {
        await this.ctx.storage.put("reminder", text);
        await this.ctx.storage.setAlarm(Date.now() + in_ms);
    }

    async alarm(): Promise<void> {
        const text = await this.ctx.storage.get<string>("reminder");
        if (text !== undefined) {
            await this.ask(`Reminder: ${text}`);
            await this.ctx.storage.delete("reminder");
        }
    }

    async forget(): Promise<void> {
        await this.ctx.storage.deleteAll();
    }

    // Question and answer are kept together, or neither: a turn that fails can be tried again.
    private async run(question: Message): Promise<string> {
        const messages = [...(await this.messages()), question];
        const content = await this.complete(messages.slice(-SHOWN_MAX));
        await this.ctx.storage.put("messages", [...messages, { role: "assistant", content }].slice(-KEPT_MAX));
        return content;
    }

    private async complete(messages: Message[]): Promise<string> {
        const headers: Record<string, string> = { "Content-Type": "application/json" };
        if (this.env.MODEL_KEY !== undefined) {
            headers.Authorization = `Bearer ${this.env.MODEL_KEY}`;
        }
        const response = await fetch(this.env.MODEL_URL, {
            method: "POST",
            headers,
            body: JSON.stringify({
                model: this.env.MODEL,
                messages: [{ role: "system", content: this.env.INSTRUCTIONS }, ...messages],
            }),
        });
        if (!response.ok) {
            throw new Error(`the model answered ${response.status}: ${(await response.text()).slice(0, 200)}`);
        }
        const answer = (await response.json()) as { choices: { message: Message }[] };
        return answer.choices[0].message.content;
    }
}
