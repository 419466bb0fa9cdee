/* WebAssembly without timers of the engine: what is asynchronous in it ends at once, on this thread. */

function install(WebAssembly) {
    const compile = async (bytes) => new WebAssembly.Module(bytes);
    const instantiate = async (source, imports) => {
        if (source instanceof WebAssembly.Module) {
            return new WebAssembly.Instance(source, imports);
        }
        const module = new WebAssembly.Module(source);
        return { module, instance: new WebAssembly.Instance(module, imports) };
    };
    for (const [name, value] of Object.entries({ compile, instantiate })) {
        Object.defineProperty(WebAssembly, name, { value, configurable: true, writable: true, enumerable: true });
    }
}

export function installWasm() {
    if (globalThis.WebAssembly !== undefined) {
        install(globalThis.WebAssembly);
    }
}
