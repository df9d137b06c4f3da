/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/session_internal.h"

/* SIGCHLD and SIGWINCH are for this process. The others are for the session: sshd sends the signals that the client requests. */
static const int watched[] = { SIGCHLD, SIGWINCH, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGTSTP, SIGTTOU, SIGTTIN };

struct error *child_prepare(struct child *c)
{
        sigset_t set;

        *c = (struct child){ .signals = -1 };
        sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_LEN(watched); i++)
                sigaddset(&set, watched[i]);
        if (sigprocmask(SIG_BLOCK, &set, &c->old_mask) < 0)
                return error_errno(errno, "cannot block signals");
        c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (c->signals < 0) {
                sigprocmask(SIG_SETMASK, &c->old_mask, NULL);
                return error_errno(errno, "cannot watch signals");
        }
        return NULL;
}

void child_release(struct child *c)
{
        if (c->signals < 0)
                return;
        close(c->signals);
        c->signals = -1;
}

static void take_terminal(int tty)
{
        if (setsid() < 0 || ioctl(tty, TIOCSCTTY, 0) < 0)
                _exit(126);
        for (int fd = 0; fd <= 2; fd++)
                dup2(tty, fd);
}

static NO_RETURN void become(const struct child *c, const struct session_program *program, int tty, int err)
{
        if (tty >= 0) {
                take_terminal(tty);
        } else {
                setpgid(0, 0);
                prctl(PR_SET_PDEATHSIG, SIGHUP); /* if this process is killed, the child ends too */
                if (err >= 0)
                        dup2(err, STDERR_FILENO);
        }
        close_range(3, ~0u, 0);
        sigprocmask(SIG_SETMASK, &c->old_mask, NULL);
        execve(program->path, (char *const *)(uintptr_t)program->argv, (char *const *)(uintptr_t)program->envp);
        dprintf(STDERR_FILENO, "teleport: cannot run %s: %s\n", program->path, strerrordesc_np(errno));
        _exit(errno == ENOENT ? 127 : 126);
}

struct error *child_start(struct child *c, const struct session_program *program, int tty, int err)
{
        c->pid = fork();
        if (c->pid < 0) {
                c->pid = 0;
                return error_errno(errno, "cannot start a process");
        }
        if (c->pid == 0)
                become(c, program, tty, err);
        if (tty < 0)
                setpgid(c->pid, c->pid); /* both parent and child call it, so the group exists whichever runs first */
        return NULL;
}

static void reap(struct child *c)
{
        int status;

        if (!c->has_ended && c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == c->pid) {
                c->has_ended = true;
                c->status = status;
        }
}

int child_signal(struct child *c)
{
        struct signalfd_siginfo info;

        if (read(c->signals, &info, sizeof info) != (ssize_t)sizeof info)
                return 0;
        if ((int)info.ssi_signo == SIGCHLD)
                reap(c);
        return (int)info.ssi_signo;
}

void child_kill(const struct child *c, int signum)
{
        if (c->pid > 0 && kill(-c->pid, signum) < 0 && !c->has_ended)
                kill(c->pid, signum);
}

void child_end(struct child *c, struct duration within)
{
        struct instant end = instant_add(clock_now(clock_system()), within);

        for (;;) {
                struct pollfd p = { .fd = c->signals, .events = POLLIN };
                int64_t left = duration_ms(instant_since(end, clock_now(clock_system())));

                reap(c);
                if (c->has_ended || left <= 0 || poll(&p, 1, (int)left) == 0)
                        break;
                child_signal(c);
        }
        child_kill(c, SIGKILL);
        if (!c->has_ended && c->pid > 0 && waitpid(c->pid, &c->status, 0) == c->pid)
                c->has_ended = true;
}

void child_outcome(const struct child *c, struct session_outcome *ret)
{
        ret->signal = WIFSIGNALED(c->status) ? WTERMSIG(c->status) : 0;
        ret->code = WIFSIGNALED(c->status) ? 128 + ret->signal : WEXITSTATUS(c->status);
}
