/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"

/* Above this size calloc() may return fresh pages of the kernel, which are already zero. */
enum { ZEROED_HERE = 16 * KiB };

/* glibc's calloc() (before 2.41) does not use the thread's cache of freed blocks. */
static void *zeroed(size_t bytes)
{
        if (bytes > ZEROED_HERE)
                return calloc(1, bytes);
        void *mem = malloc(bytes);
        return mem == NULL ? NULL : memset(mem, 0, bytes);
}

void *mem_alloc(size_t size)
{
        return mem_array(1, size);
}

void *mem_array(size_t count, size_t size)
{
        size_t bytes;

        if (__builtin_mul_overflow(count, size, &bytes))
                bug("array of %zu elements of %zu bytes", count, size);
        void *mem = zeroed(bytes == 0 ? 1 : bytes);
        if (mem == NULL)
                bug("out of memory (%zu bytes)", bytes);
        return mem;
}

void *mem_resize(void *old, size_t count, size_t size)
{
        size_t bytes;

        if (__builtin_mul_overflow(count, size, &bytes))
                bug("array of %zu elements of %zu bytes", count, size);
        void *mem = realloc(old, bytes == 0 ? 1 : bytes);
        if (mem == NULL)
                bug("out of memory (%zu bytes)", bytes);
        return mem;
}

char *mem_dup(const void *bytes, size_t len)
{
        char *copy = mem_alloc(len + 1);

        if (len > 0)
                memcpy(copy, bytes, len);
        return copy;
}

char *mem_printf(const char *format, ...)
{
        char *text = NULL;
        va_list args;

        va_start(args, format);
        int len = vasprintf(&text, format, args);
        va_end(args);
        if (len < 0)
                bug("out of memory while formatting");
        return text;
}

void mem_free_at(void *at)
{
        void *mem;

        memcpy(&mem, at, sizeof mem);
        free(mem);
}

void fd_close_at(int *at)
{
        if (*at >= 0)
                close(*at);
}

bool fd_write_all(int fd, struct str bytes)
{
        for (size_t done = 0; done < bytes.len;) {
                ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n == 0)
                        errno = ENOSPC;
                if (n <= 0)
                        return false;
                done += (size_t)n;
        }
        return true;
}
