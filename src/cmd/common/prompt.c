/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

enum { LINE_SIZE = 1 * KiB };

/* Byte by byte: the data after the line is for the next prompt, or for another program. */
static struct error *read_line(int fd, struct secret *ret)
{
        char line[LINE_SIZE];
        size_t len = 0;
        ssize_t n;

        while ((n = read(fd, line + len, 1)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 || line[len] == '\n')
                        break;
                if (++len == sizeof line)
                        break;
        }
        struct error *err = NULL;
        if (n < 0)
                err = error_errno(errno, "cannot read the answer");
        else if (len == sizeof line)
                err = error_new(ERROR_INVALID_ARGUMENT, "the answer has more than %d characters", LINE_SIZE - 1);
        else if (len > 0 && line[len - 1] == '\r')
                len--;
        if (err == NULL && len == 0)
                err = error_hint(error_new(ERROR_INVALID_ARGUMENT, "nothing was entered"),
                                 "type the answer; without a terminal, each answer is a line of standard input");
        if (err == NULL)
                *ret = secret_of(str_of_bytes(line, len));
        wipe(line, sizeof line);
        return err;
}

/* ---- on a terminal ------------------------------------------------------------------------------------------------ */

/*
 * These signals are held until the terminal echoes again: the signals that would end the process, and the one by which a shell
 * stops a job. SIGCONT reports that the process continues after a stop, during which another program used the terminal.
 */
static const int awaited[] = { SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGTSTP, SIGCONT };

struct query {
        const char *text;
        int tty, signals;
        struct termios before, silent;
};

/* Prints the prompt, and waits for the line or a signal; *ret_signum 0: the line is complete. */
static struct error *await_line(const struct query *q, int *ret_signum)
{
        struct pollfd either[] = { { .fd = q->tty, .events = POLLIN }, { .fd = q->signals, .events = POLLIN } };
        struct signalfd_siginfo info;

        *ret_signum = 0;
        /* Before the prompt, so that its answer is neither echoed nor dropped with earlier input. */
        if (tcsetattr(q->tty, TCSAFLUSH, &q->silent) != 0)
                return error_errno(errno, "cannot switch the terminal's echo off");
        if (!fd_write_all(q->tty, str_of(q->text)))
                return error_errno(errno, "cannot prompt on the terminal");
        while (poll(either, ARRAY_LEN(either), -1) < 0)
                if (errno != EINTR)
                        return error_errno(errno, "cannot prompt on the terminal");
        if (either[1].revents != 0 && read(q->signals, &info, sizeof info) == (ssize_t)sizeof info)
                *ret_signum = (int)info.ssi_signo;
        return NULL;
}

/* Stops like a program without a prompt; returns when continued. */
static void stop(void)
{
        const struct timespec none = { 0 };
        sigset_t one, gone_on;

        sigemptyset(&one);
        sigaddset(&one, SIGTSTP);
        sigemptyset(&gone_on);
        sigaddset(&gone_on, SIGCONT);
        raise(SIGTSTP);
        sigprocmask(SIG_UNBLOCK, &one, NULL);
        sigprocmask(SIG_BLOCK, &one, NULL);
        (void)sigtimedwait(&gone_on, NULL, &none); /* the prompt is repeated in any case */
}

static struct error *request_until_answered(const struct query *q, struct secret *ret)
{
        int signum;

        for (;;) {
                TRY(await_line(q, &signum));
                if (signum == 0)
                        return read_line(q->tty, ret);
                if (signum != SIGTSTP && signum != SIGCONT) {
                        raise(signum); /* it ends the process after the terminal is restored */
                        return error_new(ERROR_CANCELLED, "interrupted");
                }
                if (signum == SIGCONT)
                        continue;
                tcsetattr(q->tty, TCSAFLUSH, &q->before);
                stop();
        }
}

static struct error *prompt_without_echo(int tty, const char *text, struct secret *ret)
{
        struct query q = { .text = text, .tty = tty };
        sigset_t all, mask;

        if (tcgetattr(tty, &q.before) != 0)
                return error_errno(errno, "cannot prompt on the terminal");
        q.silent = q.before;
        q.silent.c_lflag &= ~(tcflag_t)ECHO;
        q.silent.c_lflag |= ECHONL | ICANON | ISIG;
        sigemptyset(&all);
        for (size_t i = 0; i < ARRAY_LEN(awaited); i++)
                sigaddset(&all, awaited[i]);
        AUTO_FD int signals = signalfd(-1, &all, SFD_CLOEXEC);
        if (signals < 0)
                return error_errno(errno, "cannot watch signals");
        q.signals = signals;
        sigprocmask(SIG_BLOCK, &all, &mask);
        struct error *err = request_until_answered(&q, ret);
        tcsetattr(tty, TCSAFLUSH, &q.before);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        return err;
}

struct error *prompt_secret(const char *query, struct secret *ret)
{
        if (!isatty(STDIN_FILENO))
                return read_line(STDIN_FILENO, ret);
        AUTO_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (tty < 0)
                return error_errno(errno, "there is no terminal for a prompt");
        return prompt_without_echo(tty, query, ret);
}
