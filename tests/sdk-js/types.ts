// Compiled, never run: what the types promise. `@ts-expect-error` fails where a line is right.
import { Dormouse, type Entry } from "dormouse";

interface Chat {
    say(text: string, times?: number): Promise<{ id: number }>;
    count(): number;
    fetch(request: Request): Promise<Response>;
    alarm(): void;
    label: string;
}

export async function types(dormouse: Dormouse): Promise<void> {
    const chat = dormouse.actor<Chat>("Chat", "a");
    const said: { id: number } = await chat.say("hello");
    const count: number = await chat.with({ timeoutMs: 5 }).count();
    const response: Response = await chat.fetch("/path");
    // @ts-expect-error -- a number is no text
    await chat.say(5);
    // @ts-expect-error -- there is no such method
    await chat.shout();
    // @ts-expect-error -- the platform calls it
    await chat.alarm();
    // @ts-expect-error -- no method
    chat.label;

    const anything: any = await dormouse.actor("Whatever", "b").method(1, "two");
    const entry: Entry<string> | undefined | null = await chat.storage.entry<string>("k", { unlessVersion: 3 });
    const { results } = await chat.storage.txn({
        if: [{ key: "k", exists: false }],
        do: [{ add: "n", by: 2n }, { get: "k" }, { delete: "x" }, { list: { prefix: "a" } }],
    });
    const sum: number | bigint = results[0].value;
    const got: { value: any; version: number } | null = results[1];
    const existed: boolean = results[2].existed;
    const keys: string[] = results[3].entries.map((e) => e.key);
    // @ts-expect-error -- there are four
    results[4];
    for await (const event of chat.watch()) {
        if (event.type === "put") {
            const key: string = event.key;
            void key;
        } else if (event.type === "timer") {
            const fired: number = event.fired;
            void fired;
        }
    }
    const output: { pages: number } = await chat.steps.run("s", ({ attempt, signal }) => ({ pages: attempt + Number(signal.aborted) }));
    void [said, count, response, anything, entry, sum, got, existed, keys, output];
}
