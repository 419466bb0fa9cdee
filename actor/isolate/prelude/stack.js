/* Stacks as users read them. */

/* The frames of the user's code: those below it, which are the runtime's, tell nothing. */
export function stackOf(stack) {
    return stack.split("\n").filter((frame) => !/@(dormouse:|\[native code\]$)/.test(frame)).join("\n");
}
