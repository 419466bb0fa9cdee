import { outcomeName, scenario } from "./harness.js";

const parts = (url) => [url.href, url.origin, url.protocol, url.username, url.password, url.host, url.hostname, url.port, url.pathname, url.search, url.hash];

export default scenario({
    "parts": () => parts(new URL("https://user:pass@Example.com:8080/a/b?c=d#e")),
    "defaults": () => parts(new URL("http://a:80")),
    "a base": () => ["../x", "/x", "?x", "#x", "//b/c", "http://d/"].map((input) => new URL(input, "http://a/b/c?d#e").href),
    "a host in Unicode": () => ["http://faß.de/", "http://日本語.jp/", "http://xn--mgba.example/", "http://EXAMPLE.COM/"].map((input) => {
        try {
            return new URL(input).host;
        } catch (error) {
            return error.name;
        }
    }),
    "addresses of hosts": () => ["http://127.1/", "http://0x7f.0.0.1/", "http://[::1]/", "http://[2001:DB8::0001]:80/"].map((input) => new URL(input).host),
    "percent signs": () => ["http://a/%7e/é/ /\"<>`{}", "http://a/?é '\"<>#é", "http://a/%zz"].map((input) => new URL(input).href),
    "dots": () => ["http://a/b/./c/../d", "http://a/..", "http://a/%2e%2e/b"].map((input) => new URL(input).pathname),
    "other schemes": () => ["mailto:a@b", "data:text/plain,x", "file:///a/b", "ws://a/", "custom://a/b"].map((input) => parts(new URL(input))),
    "setters": () => {
        const url = new URL("http://a/b");
        url.protocol = "https";
        url.host = "c:81";
        url.pathname = "x y";
        url.search = "q=1";
        url.hash = "h";
        url.username = "u";
        url.password = "p@";
        url.port = "443";
        return parts(url);
    },
    "no addresses": () => Promise.all(["", "a", "http://", "http://a b/", "http://[::1", "http://a:99999/"].map((input) => outcomeName(() => new URL(input).href))),
    "canParse and parse": () => [URL.canParse("http://a"), URL.canParse("a"), URL.canParse("a", "http://b"), URL.parse("http://a")?.href, URL.parse("a")],
    "JSON": () => JSON.stringify({ url: new URL("http://a/") }),
    "parameters of an address": () => {
        const url = new URL("http://a/?x=1&y=2");
        url.searchParams.append("z", "3 4");
        url.searchParams.delete("x");
        return [url.href, url.search];
    },
    "parameters": () => {
        const parameters = new URLSearchParams("?a=1&b=2&a=3&c=%20+x&d");
        return [parameters.get("a"), parameters.getAll("a"), parameters.get("c"), parameters.get("d"), parameters.get("e"),
                parameters.has("b"), parameters.has("a", "3"), parameters.size, [...parameters], parameters.toString()];
    },
    "parameters from others": () => [new URLSearchParams({ a: "1", b: "2" }).toString(), new URLSearchParams([["a", "1"], ["a", "2"]]).toString(),
        new URLSearchParams(new URLSearchParams("x=y")).toString()],
    "parameters, changed": () => {
        const parameters = new URLSearchParams("b=1&a=2&b=3");
        parameters.sort();
        parameters.set("b", "é&=");
        parameters.append("c", "");
        parameters.delete("a", "nothing");
        return parameters.toString();
    },
    "parameters, one by one": () => {
        const seen = [];
        new URLSearchParams("a=1&b=2").forEach((value, name) => seen.push([name, value]));
        return seen;
    },
});
