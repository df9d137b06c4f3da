/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A minimal Auth Service for the tests of tctl: a cluster, two hosts, two events, and the tokens, users, roles and
 * locks that tctl writes.
 */
#ifndef CMD_TCTL_FAKE_AUTH_H
#define CMD_TCTL_FAKE_AUTH_H

#include <sys/types.h>

/* Serves on data_dir/auth.sock in a process of its own, which can be reached when this returns. */
pid_t fake_auth_start(const char *data_dir);
void fake_auth_stop(pid_t pid);

#endif
