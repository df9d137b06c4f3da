/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says of a process in /proc/PID/stat (proc(5)).
 */
#ifndef OS_PROCESS_STAT_H
#define OS_PROCESS_STAT_H

#include <sys/types.h>

#include "base/str.h"

struct process_stat {
        pid_t parent;     /* 0: none, or in another namespace */
        uint64_t started; /* clock ticks after the boot */
        uint64_t arguments, arguments_end; /* addresses of the command line; 0 where we may not look */
};

/* pid 0: this process. False: there is no such process, or it cannot be read. */
bool process_stat_read(pid_t pid, struct process_stat *ret);

/* The text of the file; false for one that is not whole. The name in it may hold anything. */
bool process_stat_parse(struct str text, struct process_stat *ret);

#endif
