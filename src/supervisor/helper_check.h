/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a process that connects to the SSH Service as a helper, from the kernel's data: whether sshd started it, which
 * program it runs, and whether another process can control it. The caller must make sure that the process ID was not
 * reused meanwhile.
 */
#ifndef SUPERVISOR_HELPER_CHECK_H
#define SUPERVISOR_HELPER_CHECK_H

#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* This program, as it was started. */
struct own_program {
        char *path; /* its path, or its path before it was replaced; owned */
        struct stat stat;
};

struct error *own_program_find(struct own_program *ret) MUST_USE;
void own_program_release(struct own_program *own);

/* The reason why the process is not a trusted helper of that sshd; NULL: it is. A process that cannot be inspected is refused. */
const char *helper_check_process(const struct own_program *own, pid_t sshd, pid_t pid) MUST_USE;

#endif
