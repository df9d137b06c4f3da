/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs ssh, scp and sftp.
 */
#ifndef CMD_TSH_PROGRAMS_H
#define CMD_TSH_PROGRAMS_H

#include "client/openssh.h"
#include "client/target.h"

/* Adds this project's defaults for ssh's options; earlier options of the user take precedence. */
void programs_add_manners(struct words *w);

/* A connection to a node that commands share; socket NULL: none. Pointers live as long as the profile. */
struct programs_way {
        const struct profile *profile;
        const char *node, *login, *socket;
        bool was_there; /* existed before this command */
};

/*
 * Adds the options by which ssh reaches a node under the name `<node>.<cluster>`: over the connection that an earlier tsh
 * has left open, or over a new one that is established already, so that its errors are ours. may_share: the command needs
 * no options of the connection itself.
 */
struct error *programs_add_connection(struct words *w, const struct profile *p, const char *node, const char *login, bool may_share,
                                      struct programs_way *ret) MUST_USE;

/*
 * Executes the program of the first word, found in PATH. On a shared connection, and for scp and sftp, it waits for the program and
 * exits with its status. It returns in three cases only: with an error if that fails; with the reason if the connection ended during the
 * command, which ssh does not report; without an error if the existing connection could not be used and nothing has begun, so that the
 * caller runs the command on a connection of its own. Prints the command on stderr if requested. way may be NULL.
 */
struct error *programs_run(const struct words *w, const struct programs_way *way, bool is_reported) MUST_USE;

#endif
