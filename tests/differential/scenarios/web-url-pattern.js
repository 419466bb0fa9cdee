import { outcomeName, scenario } from "./harness.js";

const groups = (found) => found && { pathname: found.pathname.groups, hostname: found.hostname.groups, input: found.pathname.input };

export default scenario({
    "names": () => groups(new URLPattern({ pathname: "/books/:id" }).exec("http://a/books/5")),
    "no match": () => new URLPattern({ pathname: "/books/:id" }).exec("http://a/films/5"),
    "test": () => [new URLPattern({ pathname: "/a/*" }).test("http://h/a/b/c"), new URLPattern({ pathname: "/a/*" }).test("http://h/b")],
    "wildcards": () => groups(new URLPattern({ pathname: "/*/x/*" }).exec("http://a/1/x/2/3")),
    "expressions": () => groups(new URLPattern({ pathname: "/:year(\\d+)/:rest*" }).exec("http://a/2024/b/c")),
    "optional parts": () => ["/a", "/a/b"].map((path) => groups(new URLPattern({ pathname: "/a/:b?" }).exec(`http://h${path}`))),
    "hosts": () => groups(new URLPattern({ hostname: ":sub.example.com" }).exec("http://www.example.com/")),
    "text with a base": () => new URLPattern("/a/:b", "http://h").test("http://h/a/x"),
    "text": () => new URLPattern("https://*.example.com/x").test("https://a.example.com/x"),
    "parts": () => {
        const pattern = new URLPattern({ protocol: "https", pathname: "/a/:b" });
        return [pattern.protocol, pattern.pathname, pattern.hostname, pattern.search];
    },
    "case": () => new URLPattern({ pathname: "/A" }, { ignoreCase: true }).test("http://h/a"),
    "wrong": () => outcomeName(() => new URLPattern({ pathname: "/(" }).pathname),
});
