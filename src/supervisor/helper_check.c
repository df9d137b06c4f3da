/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/helper_check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process_stat.h"
#include "session/sshd_preload.h"

enum { PROC_FILE_MAX = 8 * KiB };

/* ---- this program ------------------------------------------------------------------------------------------ */

struct error *own_program_find(struct own_program *ret)
{
        static const char deleted[] = " (deleted)"; /* the kernel's suffix for a program file that was replaced */
        char path[4 * KiB];
        ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

        if (len < 0 || stat("/proc/self/exe", &ret->stat) < 0)
                return error_errno(errno, "cannot find the path of this program");
        struct str text = str_of_bytes(path, (size_t)len);
        if (str_ends_with(text, str_of(deleted)))
                text = str_slice(text, 0, text.len - strlen(deleted));
        ret->path = str_dup(text);
        return NULL;
}

void own_program_release(struct own_program *own)
{
        free(own->path);
        *own = (struct own_program){ 0 };
}

/* ---- another process --------------------------------------------------------------------------------------- */

/* 0: the process does not exist. */
static pid_t parent_of(pid_t pid)
{
        struct process_stat its;

        return process_stat_read(pid, &its) ? its.parent : 0;
}

/* The privileged half of sshd starts ssh-authorize; the half that has become the user starts the shell. */
static bool descends_from(pid_t pid, pid_t sshd)
{
        pid_t parent = parent_of(pid);

        return parent == sshd || (parent > 1 && parent_of(parent) == sshd);
}

enum helper_program { PROGRAM_OTHER, PROGRAM_GONE, PROGRAM_TELEPORT, PROGRAM_AUTHORIZE, PROGRAM_SESSION, PROGRAM_UNSEEN };

static bool is_same_file(const struct stat *a, const struct stat *b)
{
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the file has the bytes of the image: each sshd executes a file in memory of its own, so inodes differ. */
static bool has_image(int fd, const struct stat *its, struct str image)
{
        if (!S_ISREG(its->st_mode) || its->st_size != (off_t)image.len)
                return false;
        for (size_t at = 0; at < image.len;) {
                char block[16 * KiB];
                ssize_t n = pread(fd, block, sizeof(block), (off_t)at);

                if (n <= 0 || (size_t)n > image.len - at || memcmp(block, image.ptr + at, (size_t)n) != 0)
                        return false;
                at += (size_t)n;
        }
        return true;
}

/*
 * Which program the process runs: `teleport` (our file, or its replacement on disk), or a program of sshd's library. The kernel
 * may deny the access: our programs are not dumpable, so root needs CAP_SYS_PTRACE, which some containers lack.
 */
static enum helper_program program_of(const struct own_program *own, pid_t pid)
{
        AUTO_MEM char *path = mem_printf("/proc/%ld/exe", (long)pid);
        AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat its, replaced;

        if (fd < 0 || fstat(fd, &its) < 0)
                return errno == EACCES || errno == EPERM ? PROGRAM_UNSEEN : errno == ENOENT || errno == ESRCH ? PROGRAM_GONE : PROGRAM_OTHER;
        if (is_same_file(&its, &own->stat) || (stat(own->path, &replaced) == 0 && is_same_file(&its, &replaced)))
                return PROGRAM_TELEPORT;
        return has_image(fd, &its, session_program_image())     ? PROGRAM_SESSION
               : has_image(fd, &its, authorize_program_image()) ? PROGRAM_AUTHORIZE
                                                                : PROGRAM_OTHER;
}

/* Whether another process traces it: "TracerPid:\tN" of /proc/PID/status, proc(5). An unreadable file counts as traced. */
static bool is_traced(pid_t pid)
{
        static const struct str name = STR_INIT("TracerPid:");
        AUTO_MEM char *path = mem_printf("/proc/%ld/status", (long)pid);
        AUTO(buf) text = BUF_MAX(PROC_FILE_MAX);
        AUTO_PTR(error) err = file_read(path, &text);

        for (struct str rest = buf_str(&text); err == NULL && !str_is_empty(rest);) {
                struct str line = str_split(&rest, '\n');

                if (str_starts_with(line, name))
                        return !str_equal(str_trim(str_slice(line, name.len, line.len)), STR("0"));
        }
        return true;
}

/* The files in /proc of a process that is not dumpable, prctl(2), belong to root, whatever its user is: proc(5). */
static bool is_hidden(pid_t pid)
{
        AUTO_MEM char *path = mem_printf("/proc/%ld/environ", (long)pid);
        struct stat st;

        return stat(path, &st) == 0 && st.st_uid == 0;
}

const char *helper_check_process(const struct own_program *own, pid_t sshd, pid_t pid)
{
        if (!descends_from(pid, sshd))
                return "it was not started by the sshd of this connection";
        enum helper_program program = program_of(own, pid);
        if (program == PROGRAM_GONE)
                return "it is gone";
        if (program == PROGRAM_UNSEEN)
                return "the kernel does not show which program it runs: teleport lacks the capability SYS_PTRACE";
        if (program == PROGRAM_OTHER || (program != PROGRAM_SESSION && parent_of(pid) != sshd))
                return "it is not this program";
        if (is_traced(pid))
                return "another process traces it";
        if (program == PROGRAM_SESSION && !is_hidden(pid))
                return "other processes of its account can read its memory";
        return NULL;
}
