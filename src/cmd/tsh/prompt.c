/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tsh/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

enum { LINE_SIZE = 1 * KiB };

/* Byte by byte: what follows the line is for the next question, or for another program. */
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

/* Signals that would end us wait until the terminal echoes again; then they do. */
static struct error *await_line(int tty, const sigset_t *ending)
{
        AUTO_FD int signals = signalfd(-1, ending, SFD_CLOEXEC);
        struct pollfd either[] = { { .fd = tty, .events = POLLIN }, { .fd = signals, .events = POLLIN } };

        if (signals < 0)
                return error_errno(errno, "cannot watch signals");
        while (poll(either, ARRAY_LEN(either), -1) < 0)
                if (errno != EINTR)
                        return error_errno(errno, "cannot ask on the terminal");
        return either[1].revents != 0 ? error_new(ERROR_CANCELLED, "interrupted") : NULL;
}

static struct error *ask_without_echo(int tty, const char *question, struct secret *ret)
{
        struct termios before, silent;
        sigset_t ending, mask;

        if (tcgetattr(tty, &before) != 0)
                return error_errno(errno, "cannot ask on the terminal");
        silent = before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        silent.c_lflag |= ECHONL | ICANON | ISIG;
        sigemptyset(&ending);
        sigaddset(&ending, SIGHUP);
        sigaddset(&ending, SIGTERM);
        sigaddset(&ending, SIGINT);
        sigaddset(&ending, SIGQUIT);
        sigprocmask(SIG_BLOCK, &ending, &mask);
        struct error *err = fd_write_all(tty, str_of(question)) ? NULL : error_errno(errno, "cannot ask on the terminal");
        if (err == NULL && tcsetattr(tty, TCSAFLUSH, &silent) != 0)
                err = error_errno(errno, "cannot switch the terminal's echo off");
        if (err == NULL)
                err = await_line(tty, &ending);
        if (err == NULL)
                err = read_line(tty, ret);
        tcsetattr(tty, TCSAFLUSH, &before);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        return err;
}

struct error *prompt_secret(const char *question, struct secret *ret)
{
        if (!isatty(STDIN_FILENO))
                return read_line(STDIN_FILENO, ret);
        AUTO_FD int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (tty < 0)
                return error_errno(errno, "there is no terminal to ask on");
        return ask_without_echo(tty, question, ret);
}
