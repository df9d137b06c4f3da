/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: a disk of the audit log with the free space that the test sets. Included once in a program.
 */
#ifndef AUTH_CORE_DISK_TESTING_H
#define AUTH_CORE_DISK_TESTING_H

#include <pthread.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "auth/sessions/session_testing.h"

enum { DISK_MIB = 100 * 1024 };

static struct statvfs fake_disk;

static pthread_t loop_thread;                    /* never checked, once that is set */
static UNUSED int stuck[2] = { -1, -1 }; /* a disk that answers when something is written there; -1: it answers at once */

int statvfs(const char *path, struct statvfs *ret)
{
        char go;

        (void)path;
        assert_false(pthread_equal(pthread_self(), loop_thread));
        while (stuck[0] >= 0 && read(stuck[0], &go, 1) != 1)
                ;
        *ret = fake_disk;
        return 0;
}

/* So many MiB are free, and that is known. */
static inline UNUSED void given_free_disk(struct testbed *w, unsigned free_mib, unsigned size_mib)
{
        fake_disk = (struct statvfs){ .f_frsize = 1 * MiB, .f_blocks = size_mib, .f_bavail = free_mib };
        disk_watch_free(w->a.disk);
        w->a.disk = disk_watch_new(&w->a.loop, w->a.log_dir);
        AWAIT(w, disk_watch_has_checked(w->a.disk));
}

#endif
