/* The program: environment, command line, processes. main.c is all of dormouse-isolate but this; a
 * test program adds host functions of its own. */
#ifndef ACTOR_ISOLATE_PROGRAM_H
#define ACTOR_ISOLATE_PROGRAM_H

struct engine;

/* The exit code. `add_hosts` may be NULL. */
int program_run(int argc, char **argv, void (*add_hosts)(struct engine *e));

#endif
