/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a service process by its row of the table of services, with its Boot message and descriptors, and describes
 * how it ended.
 */
#ifndef SUPERVISOR_CHILD_H
#define SUPERVISOR_CHILD_H

#include <sys/types.h>

#include "base/error.h"
#include "internal.pb-c.h"
#include "services/services.h"

/* Descriptors for a new process in addition to the two that every child gets. Borrowed; the child gets copies. */
enum { CHILD_FDS_MAX = 24 };
struct child_fds {
        const char *names[CHILD_FDS_MAX];
        int fds[CHILD_FDS_MAX];
        size_t count;
};
/* The name is borrowed. */
void child_fds_add(struct child_fds *fds, const char *name, int fd);

/*
 * Starts a program (-1: the one of this process) as `teleport service NAME`, with Boot and its descriptors, and our end of the control socket in
 * *ret_control (owned by the caller). stderr_fd becomes its standard error. The kernel kills it when this process ends.
 */
struct error *child_spawn(const struct service_process *process, const Cteleport__Internal__V1__Boot *boot,
                          const struct child_fds *fds, int stderr_fd, int program_fd, pid_t *ret_pid, int *ret_control) MUST_USE;

/* "ended with status 1", "was killed by signal 11 (Segmentation fault)"; the caller frees. */
char *child_exit_text(int wait_status) MUST_USE;

#endif
