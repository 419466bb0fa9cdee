/* Bundles the prelude to one script whose completion value is the runtime.
 *
 * All modules are the body of one function of the host, `makePrelude`, so that main.js can make more than
 * one prelude: code that has run once for a throwaway one is compiled when the real one runs it.
 * Usage: node build.js [FILE]   (build/prelude.js unless told) */
import { build } from "esbuild";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readFileSync } from "node:fs";

const folder = dirname(fileURLToPath(import.meta.url));

/* A script whose completion value is `result` of the bundled module. */
function script(file, result) {
    return {
        entryPoints: [join(folder, file)], bundle: true, format: "iife", globalName: "bundled",
        platform: "neutral", mainFields: ["module", "main"], target: "esnext", charset: "ascii",
        legalComments: "none", logLevel: "warning",
        banner: { js: "(() => { \"use strict\";" },
        footer: { js: `return ${result}; })()` },
    };
}

/* sucrase has a table of 9000 expressions, which the engine takes long and much memory to evaluate: its
 * numbers are written down here. */
const wordTree = {
    name: "word tree",
    setup({ onLoad }) {
        onLoad({ filter: /sucrase\/.*\/readWordTree\.js$/ }, ({ path }) => {
            const { READ_WORD_TREE } = createRequire(path)(path.replace("/esm/", "/"));
            return { contents: `export const READ_WORD_TREE = new Int32Array([${READ_WORD_TREE.join()}]);` };
        });
    },
};

/* import source from "script:FILE": that file, bundled to a script, as text. */
const scripts = {
    name: "scripts",
    setup({ onLoad, onResolve }) {
        onResolve({ filter: /^script:/ }, ({ path }) => ({
            path: path.slice("script:".length), namespace: "script",
        }));
        onLoad({ filter: /.*/, namespace: "script" }, async ({ path }) => {
            const bundle = await build({ ...script(path, "bundled"), minify: true, write: false, plugins: [wordTree] });
            return { contents: bundle.outputFiles[0].text, loader: "text" };
        });
    },
};

/* Parts of packages that the host has, or that would cost every start what few programs need. */
const own = {
    "@exodus/bytes/encoding.js": "web/nothing.js",
    "@exodus/bytes/whatwg.js": "web/percent.js",
    "./encoding": "web/url_encoding.js",
    "tr46": "web/idna.js",
};

const replacements = {
    name: "replacements",
    setup({ onResolve }) {
        onResolve({ filter: /.*/ }, ({ path, importer }) =>
            importer.includes("node_modules/whatwg-url/") && Object.hasOwn(own, path)
                ? { path: join(folder, own[path]) } : undefined);
    },
};

export function options(outfile) {
    return {
        ...script("runtime.js", ""),
        banner: { js: "(() => { \"use strict\"; const makePrelude = (__host) => {" },
        footer: { js: `return bundled.runtime; };\n${readFileSync(join(folder, "main.js"), "utf8")}})()` },
        outfile, plugins: [scripts, replacements],
        inject: [join(folder, "web/shared_array_buffer.js")],
    };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    await build(options(process.argv[2] ?? "build/prelude.js"));
}
