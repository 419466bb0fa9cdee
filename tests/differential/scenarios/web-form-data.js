import { outcomeName, scenario } from "./harness.js";

const shownEntries = async (form) => Promise.all([...form].map(async ([name, value]) =>
    typeof value === "string" ? [name, value] : [name, value.name, value.type, value.size, await value.text()]));

export default scenario({
    "append, set, delete": () => {
        const form = new FormData();
        form.append("a", "1");
        form.append("a", "2");
        form.append("b", "3");
        form.set("b", 4);
        const before = [form.get("a"), form.getAll("a"), form.has("b"), form.get("b"), form.get("x"), form.getAll("x")];
        form.delete("a");
        return [before, [...form]];
    },
    "files": () => {
        const form = new FormData();
        form.append("f", new Blob(["x"], { type: "text/y" }));
        form.append("g", new Blob(["z"]), "name.txt");
        form.append("h", new File(["w"], "own.txt", { type: "text/w" }));
        return shownEntries(form);
    },
    "iteration": () => {
        const form = new FormData();
        form.append("b", "1");
        form.append("a", "2");
        const seen = [];
        form.forEach((value, name) => seen.push([name, value]));
        return [seen, [...form.keys()], [...form.values()], [...form.entries()]];
    },
    "there and back": async () => {
        const form = new FormData();
        form.append("text", "a\r\nb\"é");
        form.append("na\"me", "x");
        form.append("file", new File(["content"], "f.bin", { type: "application/x" }));
        const response = new Response(form);
        return [response.headers.get("content-type").split(";")[0], await shownEntries(await response.formData())];
    },
    "of text": async () => {
        const body = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--X\r\n" +
            "Content-Disposition: form-data; name=\"f\"; filename=\"n.txt\"\r\nContent-Type: text/plain\r\n\r\nfile\r\n--X--\r\n";
        return shownEntries(await new Response(body, { headers: { "content-type": "multipart/form-data; boundary=X" } }).formData());
    },
    "of parameters": async () => shownEntries(await new Response("a=1&b=%20x&a=2", { headers: { "content-type": "application/x-www-form-urlencoded" } }).formData()),
    "broken": () => outcomeName(async () => new Response("x", { headers: { "content-type": "multipart/form-data; boundary=X" } }).formData()),
    "without a boundary": () => outcomeName(async () => new Response("x", { headers: { "content-type": "multipart/form-data" } }).formData()),
});
