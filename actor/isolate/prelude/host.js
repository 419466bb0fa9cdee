/* The functions of the program around us. They are taken before any code of a user runs, and no
 * such code ever sees them: powers are frames, and these make frames. */
export const host = globalThis.__host;
delete globalThis.__host;
