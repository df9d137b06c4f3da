/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of a process that speaks to the SSH Service as a helper: whether sshd started it, which program it
 * runs, and whether another process has a hold on it. Who asks sees to it that the number is still that process's afterwards.
 */
#ifndef SUPERVISOR_HELPER_CHECK_H
#define SUPERVISOR_HELPER_CHECK_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* This program, as it was started. */
struct own_program {
        char *path; /* where it lies, or lay before it was replaced; owned */
        struct stat stat;
};

struct error *own_program_find(struct own_program *ret) MUST_USE;
void own_program_release(struct own_program *own);

/* Why the process is no helper of that sshd, or not one to be trusted; NULL: it is. What cannot be looked at is refused. */
const char *helper_check_process(const struct own_program *own, pid_t sshd, pid_t pid) MUST_USE;

#endif
