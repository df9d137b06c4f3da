/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that is loaded before libc (/etc/ld.so.preload) and shifts the host's clock by CLOCK_OFF_BY seconds, a macro of the
 * build. The monotonic clock is unchanged, as on a host with a wrong clock.
 */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

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
