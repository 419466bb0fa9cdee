// Math.random from the kernel's randomness. The engine's own generator is seeded before the fork, so all
// children would see the same numbers. Its value is what empties the pool after a fork.
(host => {
    const pool = new Uint32Array(512);
    const fill = host.random;
    let at = pool.length;
    // A method, so that it is no constructor, as the one it stands for.
    const {random} = {
        random() {
            if (at === pool.length) {
                fill(pool);
                at = 0;
            }
            // 26 bits over 27 bits: all that the fraction of a double holds.
            const high = pool[at++] >>> 6;
            const low = pool[at++] >>> 5;
            return (high * 134217728 + low) / 9007199254740992;
        },
    };
    Object.defineProperty(Math, "random", {value: random, writable: true, enumerable: false, configurable: true});
    return () => { at = pool.length; };
})(__host)
