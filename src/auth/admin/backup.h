/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy of the store that `tctl backup` reads, part by part. There is one at a time: a request for a new one ends the one
 * before, as its client may have been killed. It ends with its last byte, or when nothing is requested for TIMEOUT_BACKUP.
 */
#ifndef AUTH_ADMIN_BACKUP_H
#define AUTH_ADMIN_BACKUP_H

struct auth;

/* Ends the copy that is being read, if there is one; at the stop. */
void backup_end(struct auth *a);

#endif
