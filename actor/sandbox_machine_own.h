/* What the files of a machine share; for nobody else. */
#ifndef ACTOR_SANDBOX_MACHINE_OWN_H
#define ACTOR_SANDBOX_MACHINE_OWN_H

#include <stddef.h>
#include <stdint.h>

/* Asks the kernel who listens, on a netlink socket of that network. */
size_t machine_ports_of(int diag, uint16_t *ret_ports, size_t max);

#endif
