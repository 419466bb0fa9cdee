/* Linking: modules and TypeScript become functions of (exports, require, module). Lines stay where
 * they are, so places in errors are those of the source.
 *
 * sucrase rewrites; it is not made to refuse bad programs, so acorn reads every module first: it has
 * the exact place of a syntax error, and the names that modules import and export. */
import { parse as acorn } from "acorn";
import { transform } from "sucrase";

/* An error that is at a place in a module; lines and columns count from 1. */
export class LinkError extends SyntaxError {
    constructor(message, file, line, column) {
        super(message);
        Object.defineProperty(this, "name", { value: "SyntaxError" });
        Object.assign(this, { file, line, column });
    }
}

const isTypeScript = (name) => /\.[mc]?tsx?$/.test(name);
const hasJsx = (name) => /\.[jt]sx$/.test(name);

function rewrite(source, name, transforms) {
    try {
        return transform(source, {
            transforms, filePath: name, disableESTransforms: true, production: true,
            preserveDynamicImport: false,
        }).code;
    } catch (error) {
        const place = /\((\d+):(\d+)\)/.exec(error.message);
        const message = error.message.replace(/^Error transforming [^:]*: /, "").replace(/ \(\d+:\d+\)$/, "");
        throw new LinkError(message, name, Number(place?.[1] ?? 1), Number(place?.[2] ?? 1));
    }
}

/* Plain JavaScript, lines as they were. */
function strip(source, name) {
    const transforms = [];
    if (isTypeScript(name)) {
        transforms.push("typescript");
    }
    if (hasJsx(name)) {
        transforms.push("jsx");
    }
    return transforms.length === 0 ? source : rewrite(source, name, transforms);
}

function parse(source, name) {
    try {
        return acorn(source, {
            ecmaVersion: "latest", sourceType: "module", locations: true, allowHashBang: true,
        });
    } catch (error) {
        const { line, column } = error.loc;
        throw new LinkError(error.message.replace(/ \(\d+:\d+\)$/, ""), name, line, column + 1);
    }
}

const nameOf = (node) => node.type === "Identifier" ? node.name : node.value;

function namesOfPattern(pattern, names) {
    switch (pattern?.type) {
    case "Identifier":
        names.add(pattern.name);
        break;
    case "ObjectPattern":
        pattern.properties.forEach((one) => namesOfPattern(one.value ?? one.argument, names));
        break;
    case "ArrayPattern":
        pattern.elements.forEach((one) => namesOfPattern(one, names));
        break;
    case "AssignmentPattern":
        namesOfPattern(pattern.left, names);
        break;
    case "RestElement":
        namesOfPattern(pattern.argument, names);
        break;
    }
}

function namesOfDeclaration(declaration, names) {
    if (declaration.id) {
        names.add(declaration.id.name);
    }
    declaration.declarations?.forEach((one) => namesOfPattern(one.id, names));
}

/* import("x") anywhere: a module that is wanted, if its name is known now. import.meta: where it stands. */
function findDynamic(node, found, metas) {
    if (Array.isArray(node)) {
        node.forEach((one) => findDynamic(one, found, metas));
    } else if (node && typeof node.type === "string") {
        if (node.type === "ImportExpression" && typeof node.source.value === "string") {
            found.push({ specifier: node.source.value, names: [], loc: node.source.loc.start });
        }
        if (node.type === "MetaProperty" && node.meta.name === "import") {
            metas.push(node);
        }
        for (const key of Object.keys(node)) {
            if (key !== "loc" && typeof node[key] === "object") {
                findDynamic(node[key], found, metas);
            }
        }
    }
}

/* `module` is there where a module runs, and its `meta` is as long as what it stands for. */
function withMetas(source, metas) {
    return metas.reduceRight((text, { start, end }) =>
        text.slice(0, start) + "module.meta".padEnd(end - start) + text.slice(end), source);
}

/* {plain, imports: [{specifier, names, loc}], exports: Set of names, stars: specifiers of `export *`} */
function readModule(source, name) {
    const tree = parse(source, name);
    const imports = [];
    const exports = new Set();
    const stars = [];
    for (const node of tree.body) {
        const importing = { specifier: node.source?.value, names: [], loc: node.source?.loc.start };
        switch (node.type) {
        case "ImportDeclaration":
            for (const one of node.specifiers) {
                if (one.type !== "ImportNamespaceSpecifier") {
                    const imported = one.type === "ImportDefaultSpecifier" ? "default" : nameOf(one.imported);
                    importing.names.push({ name: imported, loc: one.loc.start });
                }
            }
            imports.push(importing);
            break;
        case "ExportAllDeclaration":
            if (node.exported) {
                exports.add(nameOf(node.exported));
            } else {
                stars.push(node.source.value);
            }
            imports.push(importing);
            break;
        case "ExportDefaultDeclaration":
            exports.add("default");
            break;
        case "ExportNamedDeclaration":
            if (node.declaration) {
                namesOfDeclaration(node.declaration, exports);
            }
            for (const one of node.specifiers) {
                exports.add(nameOf(one.exported));
                if (node.source) {
                    importing.names.push({ name: nameOf(one.local), loc: one.loc.start });
                }
            }
            if (node.source) {
                imports.push(importing);
            }
            break;
        }
    }
    const metas = [];
    if (/\bimport\s*[(.]/.test(source)) {
        findDynamic(tree.body, imports, metas);
    }
    return { plain: withMetas(source, metas), imports, exports, stars };
}

/* What a module is that is no code: its text, its JSON, or its bytes. */
function wrapData(source, name) {
    const isText = typeof source === "string";
    if (name.endsWith(".json")) {
        try {
            JSON.parse(source);
        } catch (error) {
            throw new LinkError(error.message, name, 1, 1);
        }
        return `module.exports = ${source}`;
    }
    const literal = isText ? JSON.stringify(source) : `Uint8Array.fromBase64("${source.toBase64()}")`;
    if (name.endsWith(".wasm")) {
        return `exports.__esModule = true; exports.default = new WebAssembly.Module(${literal});`;
    }
    return `exports.__esModule = true; exports.default = ${isText ? literal : `${literal}.buffer`};`;
}

const isCode = (name, source) => typeof source === "string" && (/\.[mc]?[jt]sx?$/.test(name) || !/\.[a-z0-9]+$/i.test(name));

/* One module: {name, code (linked later), imports, exports or null where any name may be there, stars} */
function readOne(source, name) {
    if (!isCode(name, source)) {
        return { name, code: wrapData(source, name), imports: [], exports: null, stars: [] };
    }
    const plain = strip(source, name);
    const module = readModule(plain, name);
    return { name, source, ...module };
}

const candidates = (path) => [
    path, `${path}.js`, `${path}.ts`, `${path}.mjs`, `${path}.tsx`, `${path}.jsx`, `${path}/index.js`, `${path}/index.ts`,
    path.replace(/\.js$/, ".ts"), path.replace(/\.jsx$/, ".tsx"),
];

/* Reads all modules that `main` needs. `resolve` and `isBuiltin` are of modules.js. */
export class Linker {
    constructor(sources, { resolve, builtinNames }) {
        this.sources = sources;
        this.resolve = resolve;
        this.builtinNames = builtinNames;
        this.modules = new Map();
        this.order = [];
    }

    find(specifier, from) {
        const path = this.resolve(specifier, from);
        return candidates(path).find((name) => Object.hasOwn(this.sources, name));
    }

    /* Depth first: a module comes after those that it imports. */
    visit(name) {
        if (this.modules.has(name)) {
            return;
        }
        const module = readOne(this.sources[name], name);
        this.modules.set(name, module);
        module.targets = {};
        for (const { specifier, loc } of module.imports) {
            if (this.builtinNames(specifier) !== null) {
                continue;
            }
            const target = this.find(specifier, name);
            if (target === undefined) {
                throw new LinkError(`Cannot find module '${specifier}'`, name, loc.line, loc.column + 1);
            }
            module.targets[specifier] = target;
            this.visit(target);
        }
        this.order.push(module);
    }

    /* Whether the module may have that name; where that cannot be known it may. */
    hasExport(module, name, seen = new Set()) {
        if (module.exports === null || module.exports.has(name)) {
            return true;
        }
        if (seen.has(module.name)) {
            return false;
        }
        seen.add(module.name);
        return name !== "default" && module.stars.some((specifier) => {
            const target = this.modules.get(module.targets[specifier]);
            return target === undefined || this.hasExport(target, name, seen);
        });
    }

    checkImports(module) {
        for (const { specifier, names } of module.imports) {
            const builtin = this.builtinNames(specifier);
            const target = this.modules.get(module.targets[specifier]);
            for (const { name, loc } of names) {
                const isThere = builtin !== null ? builtin.includes(name) : this.hasExport(target, name);
                if (!isThere) {
                    throw new LinkError(`The module '${specifier}' does not provide an export named '${name}'`,
                                        module.name, loc.line, loc.column + 1);
                }
            }
        }
    }

    code(module) {
        if (module.code !== undefined) {
            return module.code;
        }
        const transforms = ["imports"];
        const linked = rewrite(module.plain, module.name, transforms);
        const renamed = Object.entries(module.targets).filter(
            ([specifier, target]) => this.resolve(specifier, module.name) !== target);
        return renamed.length === 0 ? linked : `${linked}\n//# imports=${JSON.stringify(Object.fromEntries(renamed))}`;
    }

    /* [[name, code], …] in the order of evaluation. */
    link(main) {
        if (!Object.hasOwn(this.sources, main)) {
            throw new LinkError(`The main module '${main}' is not there`, main, 1, 1);
        }
        this.visit(main);
        this.order.forEach((module) => this.checkImports(module));
        return this.order.map((module) => [module.name, this.code(module)]);
    }
}

/* A one-shot program that is a module of TypeScript or JavaScript. */
export function linkOneShot(source, name) {
    const plain = rewrite(source, name, ["typescript"]);
    parse(plain, name);
    return rewrite(plain, name, ["imports"]);
}
