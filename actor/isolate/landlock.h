/* Landlock: a ruleset with no rule, so that all it handles is denied. */
#ifndef ACTOR_ISOLATE_LANDLOCK_H
#define ACTOR_ISOLATE_LANDLOCK_H

int landlock_deny_all(void); /* a descriptor; -1: this kernel has no Landlock */
int landlock_enforce(
    int ruleset_fd); /* on this thread, for good; 0 or errno. Needs no_new_privs. */

#endif
