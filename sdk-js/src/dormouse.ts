/* The client: a cluster of Dormouse, addressed by one URL or several.
 *
 *     const dormouse = new Dormouse({ url: "http://127.0.0.1:7420", namespace: "app" });
 *     await dormouse.actor<Counter>("Counter", "a").increment(2);
 *
 * It keeps no state but connections, which the platform's fetch keeps. */

import { Actor, stubOf, type Stub } from "./actor.js";
import { Admin } from "./admin.js";
import { namespacePath } from "./address.js";
import { Connection, type CallOptions, type ClientOptions } from "./exchange.js";
import { Namespace } from "./namespace.js";

const NAMESPACE = "default";

export interface ActorOptions extends CallOptions {
    namespace?: string | undefined;
}

export class Dormouse {
    readonly #connection: Connection;
    readonly namespaceName: string;
    readonly admin: Admin;

    constructor(options: ClientOptions = {}) {
        this.#connection = new Connection(options);
        this.namespaceName = options.namespace ?? NAMESPACE;
        namespacePath(this.namespaceName);
        this.admin = new Admin(this.#connection);
    }

    /** An actor with the methods of its class. Addressing one creates nothing and asks nobody. */
    actor<T = unknown>(className: string, id: string, options: ActorOptions = {}): Stub<T> {
        return stubOf<T>(this.#actor(className, id, options));
    }

    /** An actor of the built-in class, which runs no code. */
    store(id: string, options: ActorOptions = {}): Actor {
        return this.#actor("Store", id, options);
    }

    #actor(className: string, id: string, options: ActorOptions): Actor {
        const { namespace = this.namespaceName, ...defaults } = options;
        return new Actor(this.#connection, { namespace, className, id }, defaults);
    }

    /** The code of a namespace: of the client's own where nobody says. */
    namespace(name: string = this.namespaceName): Namespace {
        return new Namespace(this.#connection, name);
    }
}
