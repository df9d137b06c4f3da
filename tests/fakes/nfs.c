/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD: file systems as NFS is seen by a program: no file without a name, and no rename that fails if the name is taken. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

int open(const char *path, int flags, ...)
{
        va_list more;

        va_start(more, flags);
        unsigned mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, unsigned) : 0;
        va_end(more);
        if ((flags & O_TMPFILE) != O_TMPFILE)
                return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        errno = EOPNOTSUPP;
        return -1;
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
        (void)from_fd;
        (void)from;
        (void)to_fd;
        (void)to;
        (void)flags;
        errno = EINVAL;
        return -1;
}
