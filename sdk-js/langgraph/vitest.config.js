// The tests are in ../../tests/sdk-js/langgraph; what they import is here.
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const packages = path.join(here, "node_modules");

export default {
    root: path.join(here, "../.."),
    resolve: {
        alias: [
            { find: /^@dormouse\/langgraph$/, replacement: path.join(here, "dist/index.js") },
            { find: /^(dormouse|@langchain\/.*)$/, replacement: `${packages}/$1` },
        ],
    },
    test: {
        include: ["tests/sdk-js/langgraph/*.test.js"],
        globals: true,
        testTimeout: 60_000,
        hookTimeout: 60_000,
        pool: "threads",
        cache: false,
    },
};
