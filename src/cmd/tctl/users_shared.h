/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions for users, roles and locks that several commands share.
 */
#ifndef CMD_TCTL_USERS_SHARED_H
#define CMD_TCTL_USERS_SHARED_H

#include "cmd/tctl/session.h"

/* All users, by name. DATA_LOSS for one without metadata. */
struct error *users_list(struct session *s, Cteleport__V1__User ***ret, size_t *ret_count) MUST_USE;

/* The tables of `tctl users ls` and of `tctl get users`. */
void users_put_table(struct buf *out, Cteleport__V1__User *const *users, size_t count);
void users_put_names(struct buf *out, Cteleport__V1__User *const *users, size_t count);

void roles_put_table(struct buf *out, Cteleport__V1__Role *const *roles, size_t count, bool is_verbose);
void locks_put_table(struct buf *out, Cteleport__V1__Lock *const *locks, size_t count);

/* Gives a lock that has no name a random one (UUIDv4); in the arena. */
void lock_name(Cteleport__V1__Lock *lock, struct arena *arena);

#endif
