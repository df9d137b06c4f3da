/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program file of this process was replaced on the disk: the new one is run once, as `teleport check-upgrade` with the flags of
 * `teleport start`, before any service is started from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/service.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/file.h"
#include "os/process_fork.h"
#include "rpc/pb.h"
#include "supervisor/internal.h"
#include "supervisor/upgrade_answer.h"

enum { COMMAND_LINE_MAX = 64 * KiB, ARGUMENTS_MAX = 256, OUTPUT_MAX = 4 * KiB };

struct upgrade {
        struct program program;
        void (*checked)(struct supervisor *s, struct program program, struct error *err);
        pid_t pid;
        int output; /* of the program; it fits into a pipe */
        struct timer *timeout;
        bool is_late;
};

static bool is_same_program(const struct stat *a, const struct stat *b)
{
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
               a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

struct error *supervisor_find_program(const struct supervisor *s, struct program *ret)
{
        AUTO_FD int fd = open(s->own.path, O_RDONLY | O_CLOEXEC);

        *ret = (struct program){ .fd = -1 };
        if (fd < 0 && errno == ENOENT)
                return NULL; /* it was removed, or is being replaced: the processes go on with the one that they have */
        if (fd < 0 || fstat(fd, &ret->stat) < 0)
                return error_errno(errno, "cannot open the program %s", s->own.path);
        if (is_same_program(&ret->stat, &s->program.stat))
                return NULL;
        ret->fd = fd;
        fd = -1;
        return NULL;
}

/* ---- running it --------------------------------------------------------------------------------------------- */

/* The arguments of this process with `check-upgrade ROWS` for `start`: argv[ARGUMENTS_MAX], in the arena. */
static struct error *arguments_of_check(struct arena *a, char **argv)
{
        AUTO(buf) text = BUF_MAX(COMMAND_LINE_MAX);
        bool has_command = false;
        size_t count = 0;
        AUTO_MEM char *rows = mem_printf("%d", METRIC_COUNT);

        TRY(file_read("/proc/self/cmdline", &text));
        for (struct str rest = buf_str(&text); !str_is_empty(rest);) {
                struct str word = str_split(&rest, '\0');
                bool is_command = !has_command && count > 0 && str_equal(word, STR("start"));

                if (count >= ARGUMENTS_MAX - 2)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "teleport was started with more than %d arguments", ARGUMENTS_MAX);
                has_command |= is_command;
                argv[count++] = pb_text(str_to_c(a, is_command ? STR("check-upgrade") : word));
                if (is_command)
                        argv[count++] = pb_text(str_to_c(a, str_of(rows)));
        }
        argv[count] = NULL;
        return has_command ? NULL : error_new(ERROR_FAILED_PRECONDITION, "this process was not started as `teleport start`");
}

static NO_RETURN void become(const struct program *program, char *const *argv, int output, pid_t parent)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd = fcntl(program->fd, F_DUPFD_CLOEXEC, 3);
        sigset_t none;

        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent)
                _exit(1);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (null < 0 || fd < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
                _exit(126);
        unsetenv("NOTIFY_SOCKET");
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(127);
}

static void on_timeout(void *ctx)
{
        const struct supervisor *s = ctx;

        s->upgrade->is_late = true;
        kill(s->upgrade->pid, SIGKILL);
}

struct error *supervisor_check_program(struct supervisor *s, struct program program,
                                       void (*checked)(struct supervisor *s, struct program program, struct error *err))
{
        AUTO_PTR(arena) arena = arena_new(2 * COMMAND_LINE_MAX);
        char *argv[ARGUMENTS_MAX];
        pid_t parent = getpid();
        int ends[2];

        TRY(arguments_of_check(arena, argv));
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_errno(errno, "cannot make a pipe");
        pid_t pid = process_fork();
        if (pid == 0)
                become(&program, argv, ends[1], parent);
        close(ends[1]);
        if (pid < 0) {
                close(ends[0]);
                return error_errno(errno, "cannot start a process");
        }
        s->upgrade = NEW(struct upgrade);
        *s->upgrade = (struct upgrade){ .program = program, .checked = checked, .pid = pid, .output = ends[0] };
        s->upgrade->timeout = timer_new(&s->loop, on_timeout, s);
        timer_start(s->upgrade->timeout, MILLISECONDS(TIMEOUT_RELOAD_STEP));
        return NULL;
}

/* ---- its result --------------------------------------------------------------------------------------------- */

static struct error *refusal(const struct supervisor *s, const char *reason)
{
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the program %s was replaced, and the new one cannot take over: %s", s->own.path, reason),
                          "the services go on with the former program; install a program that runs here, or restart the service with the new one: "
                          "systemctl restart teleport");
}

static struct error *result_of(const struct supervisor *s, const struct upgrade *u, int status)
{
        char output[OUTPUT_MAX];
        ssize_t n = read(u->output, output, sizeof(output));
        struct str text = str_trim(str_of_bytes(output, n < 0 ? 0 : (size_t)n));
        AUTO_MEM char *shown = escaped(text), *exit_text = child_exit_text(status);

        if (u->is_late)
                return refusal(s, "it does not end its check");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return refusal(s, str_is_empty(text) ? exit_text : shown);
        AUTO_PTR(error) differs = upgrade_answer_check(text, metrics_are_on());
        return differs == NULL ? NULL : refusal(s, differs->what);
}

static void release(struct supervisor *s)
{
        timer_free(s->upgrade->timeout);
        close(s->upgrade->output);
        free(s->upgrade);
        s->upgrade = NULL;
}

void supervisor_reap_check(struct supervisor *s)
{
        int status;

        if (s->upgrade == NULL || waitpid(s->upgrade->pid, &status, WNOHANG) != s->upgrade->pid)
                return;
        struct error *err = result_of(s, s->upgrade, status);
        struct upgrade u = *s->upgrade;
        release(s);
        u.checked(s, u.program, err);
}

void supervisor_end_check(struct supervisor *s)
{
        if (s->upgrade == NULL)
                return;
        kill(s->upgrade->pid, SIGKILL);
        waitpid(s->upgrade->pid, NULL, 0);
        close(s->upgrade->program.fd);
        release(s);
}
