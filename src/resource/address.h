/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of addresses in configuration and flags: host, host:port, [v6]:port. Only the form is checked; names are not
 * resolved.
 */
#ifndef RESOURCE_ADDRESS_H
#define RESOURCE_ADDRESS_H

#include "base/arena.h"
#include "base/error.h"

enum { AUTH_PORT = 3025, WEB_PORT = 3080, SSH_PORT = 3022, HTTPS_PORT = 443 };

/* PORT_REQUIRED: the text must include a port. */
enum { PORT_REQUIRED = -1 };

/*
 * Checks and completes an address: "*ret" is "host:port" or "[v6]:port" in the arena. The host may be a
 * name, an IP or, with an explicit port, empty or all zeros for "every address". INVALID_ARGUMENT names
 * the field.
 */
struct error *address_normalize(struct arena *arena, struct str text, int default_port, const char *field,
                                const char **ret) MUST_USE;

/* The port of a normalized address. */
int address_port(struct str address);

#endif
