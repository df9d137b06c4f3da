/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/programs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/locate.h"
#include "cmd/tsh/user.h"
#include "cmd/tsh/relay.h"
#include "loop/loop.h"

enum { COMMAND_LINE_MAX = 1 * MiB };

void programs_add_manners(struct words *w)
{
        /* The silent loss of a node or proxy is detected within 90 seconds. */
        words_add(w, "-o");
        words_add(w, "ServerAliveInterval=30");
        words_add(w, "-o");
        words_add(w, "ServerAliveCountMax=3");
}

struct error *programs_add_connection(struct words *w, const struct profile *p, const char *node, const char *login, bool may_share,
                                      struct programs_way *ret)
{
        struct mux mux = { .lock = -1 };
        const char *self = NULL, *relay = NULL, *host_id = NULL;

        TRY(openssh_self(p->arena, &self));
        if (may_share)
                mux_find(p, login, node, &mux);
        *ret = (struct programs_way){ .profile = p, .node = node, .login = login, .socket = mux.path, .was_there = mux.is_alive };
        if (mux.is_alive) {
                openssh_add_options(w, p, self, NULL, &mux);
                openssh_add_host_id(w, p, mux.host_id);
                return NULL;
        }
        struct error *err = relay_start(p, node, login, &mux, &relay, &host_id);
        mux_release(&mux); /* the remaining process has it */
        if (err != NULL)
                return err;
        openssh_add_options(w, p, self, relay, &mux);
        openssh_add_host_id(w, p, host_id);
        return NULL;
}

/* ---- on a shared connection ------------------------------------------------------------------------------------------- */

enum { CONNECTION_FAILED = 255 }; /* ssh's own exit status, which a command may have as well */

static struct error *become(const struct words *w)
{
        execvp(w->list[0], (char *const *)(uintptr_t)w->list);
        return error_hint(error_errno(errno, "cannot run %s", w->list[0]), "install OpenSSH's client programs: apt install openssh-client");
}

/* The program that signals are forwarded to; 0: none. */
static volatile pid_t program;

static void pass_on(int signum)
{
        if (program > 0)
                kill(program, signum);
}

/* Sent by the command that ssh runs to make its own connection: the existing one could not be used (openssh_add_options). */
static volatile sig_atomic_t is_unused;

static void on_unused(int signum)
{
        (void)signum;
        is_unused = 1;
}

static const struct {
        int signum;
        void (*handler)(int signum);
} signals[] = {
        { SIGINT, SIG_IGN }, { SIGQUIT, SIG_IGN }, /* keys of the terminal: they reach the program, too */
        { SIGTERM, pass_on }, { SIGHUP, pass_on }, { SIGUSR1, on_unused },
};

static void take_signals(struct sigaction before[ARRAY_LEN(signals)])
{
        for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
                const struct sigaction action = { .sa_handler = signals[i].handler, .sa_flags = SA_RESTART };

                sigaction(signals[i].signum, &action, &before[i]);
        }
}

/* Except SIGUSR1, which may arrive late from a command that outlives its ssh. */
static void give_signals_back(const struct sigaction before[ARRAY_LEN(signals)])
{
        for (size_t i = 0; i < ARRAY_LEN(signals); i++)
                if (signals[i].signum != SIGUSR1)
                        sigaction(signals[i].signum, &before[i], NULL);
}

/* A descriptor that reports when ssh creates the socket of a new connection. -1: none. */
static int watch_socket(const struct programs_way *way)
{
        AUTO_MEM char *directory = str_dup(str_of(way->socket));

        *strrchr(directory, '/') = '\0';
        int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (fd >= 0 && inotify_add_watch(fd, directory, IN_CREATE) < 0)
                fd_close_at(&fd);
        return fd;
}

static bool was_made(int watch, const struct programs_way *way)
{
        _Alignas(struct inotify_event) char events[4 * KiB];
        const char *name = strrchr(way->socket, '/') + 1;
        ssize_t n;

        while (watch >= 0 && (n = read(watch, events, sizeof events)) > 0)
                for (ssize_t at = 0; at < n;) {
                        const struct inotify_event *e = (const struct inotify_event *)(void *)(events + at);

                        if (e->len > 0 && strcmp(e->name, name) == 0)
                                return true;
                        at += (ssize_t)(sizeof *e + e->len);
                }
        return false;
}

struct requested {
        struct loop loop;
        struct stream *node;
        struct error *err;
};

static void on_dialled(void *ctx, struct stream *s, struct error *err)
{
        struct requested *a = ctx;

        a->node = s;
        a->err = err;
        loop_stop(&a->loop);
}

/* The reason why a new connection is refused; NULL: it is accepted. */
static struct error *request_anew(const struct programs_way *way)
{
        struct requested a = { 0 };

        TRY(loop_init(&a.loop, NULL));
        struct client_dial *dial = client_dial_node(&a.loop, way->profile, way->node, way->login, on_dialled, &a);
        (void)dial; /* ends by itself */
        loop_run(&a.loop);
        stream_close(a.node);
        loop_run(&a.loop);
        loop_release(&a.loop);
        return a.err == NULL ? NULL : user_explain(way->profile, way->node, a.err);
}

static struct error *explain_end(const struct programs_way *way)
{
        struct error *err = request_anew(way);

        if (err != NULL)
                return error_wrap(err, "the connection to %s has ended", way->node);
        return error_hint(error_new(ERROR_UNAVAILABLE, "the connection to %s has ended; the progress of the command is unknown", way->node),
                          "a new connection can be made: run the command again");
}

/* Only the process that carries the bytes of the connection keeps its descriptors. */
static void close_others(int watch)
{
        if (watch > STDERR_FILENO + 1)
                (void)close_range(STDERR_FILENO + 1, (unsigned)watch - 1, 0);
        (void)close_range((unsigned)(watch > STDERR_FILENO ? watch : STDERR_FILENO) + 1, ~0U, 0);
}

static struct error *await(int *ret_status)
{
        while (waitpid(program, ret_status, 0) < 0)
                if (errno != EINTR)
                        return error_errno(errno, "cannot wait for ssh");
        program = 0;
        return NULL;
}

/*
 * Prints the reason of a refused copy, from the Auth Service: the protocols of scp and sftp do not carry it. Other answers are
 * ignored. Ends the process after a reason, because the loop of relay_start is never run to its end.
 */
static void explain_copy(const struct programs_way *way)
{
        const char *refusal = NULL;
        AUTO_PTR(error) unknown = locate_copy_refusal(way->profile, way->node, way->login, &refusal);

        if (unknown != NULL || refusal[0] == '\0')
                return;
        AUTO_MEM char *shown = escaped(str_of(refusal));
        AUTO_PTR(error) err = error_hint(error_new(ERROR_PERMISSION_DENIED, "%s", shown),
                                         "an administrator can allow it: ssh_file_copy in roles, and under ssh_service of the node");
        error_print(err);
        _exit(1);
}

/* Ends with the status or signal of the program. */
static struct error *end_alike(const struct programs_way *way, int watch, bool is_copy, int status)
{
        if (is_unused)
                return NULL;
        if (WIFSIGNALED(status)) {
                signal(WTERMSIG(status), SIG_DFL);
                raise(WTERMSIG(status));
        }
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : CONNECTION_FAILED;
        bool is_shared = way->socket != NULL && (way->was_there || was_made(watch, way));

        if (code == CONNECTION_FAILED && is_shared && !mux_is_alive(way->socket))
                return explain_end(way);
        if (code != 0 && is_shared && is_copy) /* for a removed user, they print at most "Permission denied" */
                TRY(request_anew(way));
        if (is_copy && code != 0)
                explain_copy(way);
        _exit(code);
}

/*
 * When a shared connection ends, ssh exits without a message, and with a status that a command may have as well; scp prints only
 * its own message for a refusal. Therefore tsh waits for these programs.
 */
static struct error *run_and_await(const struct words *w, const struct programs_way *way, bool is_copy)
{
        struct sigaction actions[ARRAY_LEN(signals)];
        sigset_t all, before;
        pid_t self = getpid();
        AUTO_FD int watch = way->was_there || way->socket == NULL ? -1 : watch_socket(way);

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid_t pid = fork();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGTERM);
                signal(SIGPIPE, SIG_DFL); /* ignored for our own loop */
                if (getppid() != self)
                        _exit(CONNECTION_FAILED);
                sigprocmask(SIG_SETMASK, &before, NULL);
                return become(w);
        }
        if (pid < 0) {
                sigprocmask(SIG_SETMASK, &before, NULL);
                return error_errno(errno, "cannot make a process for ssh");
        }
        program = pid;
        take_signals(actions);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (!way->was_there)
                close_others(watch);
        int status = 0;
        struct error *err = await(&status);
        give_signals_back(actions); /* the following request to the cluster can be interrupted by a key */
        return err == NULL ? end_alike(way, watch, is_copy, status) : err;
}

struct error *programs_run(const struct words *w, const struct programs_way *way, bool is_reported)
{
        if (is_reported) {
                AUTO(buf) line = BUF_MAX(COMMAND_LINE_MAX);

                for (size_t i = 0; i < w->count; i++) {
                        buf_put_c(&line, i == 0 ? "" : " ");
                        shell_put_word(&line, str_of(w->list[i]));
                }
                fprintf(stderr, "%s\n", buf_c(&line));
        }
        fflush(stdout);
        bool is_copy = strcmp(w->list[0], "ssh") != 0;
        if (way != NULL && (way->socket != NULL || (is_copy && way->node != NULL)))
                return run_and_await(w, way, is_copy);
        signal(SIGPIPE, SIG_DFL); /* ignored for our own loop */
        return become(w);
}
