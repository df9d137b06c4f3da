/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parser of /proc/PID/stat (proc(5)).
 */
#ifndef OS_PROCESS_STAT_H
#define OS_PROCESS_STAT_H

#include <sys/types.h>

#include "base/str.h"

struct process_stat {
        pid_t parent;     /* 0: none, or in another namespace */
        uint64_t started; /* start time in clock ticks after the boot */
        uint64_t cpu;     /* used time in clock ticks */
        uint64_t resident; /* pages */
        uint64_t arguments, arguments_end; /* addresses of the command line; 0 without permission */
};

/* pid 0: this process. False: there is no such process, or it cannot be read. */
bool process_stat_read(pid_t pid, struct process_stat *ret);

/* Parses the text of the file; false when it is incomplete. The process name in it may contain any characters. */
bool process_stat_parse(struct str text, struct process_stat *ret);

#endif
