/* SPDX-License-Identifier: Apache-2.0 */
#include "os/process_apart.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/mem.h"
#include "os/process_fork.h"

static NO_RETURN void work_and_exit(void (*work)(void *result), void *result, size_t size, int out)
{
        work(result);
        _exit(fd_write_all(out, str_of_bytes(result, size)) ? 0 : 1);
}

/* Reads to the end; false if that is not exactly `size` bytes. */
static bool read_exactly(int fd, char *bytes, size_t size)
{
        size_t len = 0;
        ssize_t n;

        while (len < size && ((n = read(fd, bytes + len, size - len)) > 0 || (n < 0 && errno == EINTR)))
                len += n > 0 ? (size_t)n : 0;
        return len == size;
}

static void await_end(pid_t pid)
{
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

struct error *process_apart(void (*work)(void *result), void *result, size_t size)
{
        char bytes[PROCESS_APART_MAX];
        int ends[2];

        if (size > sizeof bytes)
                bug("a result of %zu bytes", size);
        if (pipe2(ends, O_CLOEXEC) < 0)
                return error_errno(errno, "cannot make a pipe");
        AUTO_FD int in = ends[0], out = ends[1];
        pid_t pid = process_fork();
        if (pid < 0)
                return error_new(ERROR_UNAVAILABLE, "cannot start a process: %s", strerror(errno));
        if (pid == 0)
                work_and_exit(work, result, size, out);
        fd_close_at(&out);
        out = -1;
        bool is_whole = read_exactly(in, bytes, size);
        await_end(pid);
        if (!is_whole)
                return error_new(ERROR_UNAVAILABLE, "a process ended before its work was done");
        memcpy(result, bytes, size);
        return NULL;
}
