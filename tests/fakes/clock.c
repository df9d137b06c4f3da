/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that is loaded before libc (/etc/ld.so.preload) and shifts the host's clock by CLOCK_OFF_BY seconds, a macro of the
 * build; or by the seconds that the file CLOCK_FILE has, a 64-bit number that may change while the process runs. The monotonic clock is
 * unchanged, as on a host with a wrong clock.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef CLOCK_FILE
static const volatile int64_t *clock_file; /* mapped, because a process in a sandbox opens no file */

__attribute__((constructor)) static void map_clock_file(void)
{
        int fd = open(CLOCK_FILE, O_RDONLY | O_CLOEXEC);
        void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *clock_file, PROT_READ, MAP_SHARED, fd, 0);

        if (mapped != MAP_FAILED)
                clock_file = mapped;
        if (fd >= 0)
                close(fd);
}
#define CLOCK_OFF_BY (clock_file == NULL ? 0 : *clock_file)
#endif

int clock_gettime(clockid_t id, struct timespec *ret)
{
        long status = syscall(SYS_clock_gettime, id, ret);
        if (status == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
                ret->tv_sec += CLOCK_OFF_BY;
        return (int)status;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
        struct timespec now;
        (void)zone;
        clock_gettime(CLOCK_REALTIME, &now);
        *ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}

time_t time(time_t *ret)
{
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (ret != NULL)
                *ret = now.tv_sec;
        return now.tv_sec;
}
