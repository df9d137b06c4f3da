/* SPDX-License-Identifier: Apache-2.0 */
#include "session/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "os/sandbox.h"
#include "rpc/pb.h"
#include "session/refusal.h"
#include "session/session_internal.h"
#include "session/sshd_preload.h"
#include "session/wire.h"

enum { NOTHING_RAN = 255 };

/* ---- messages to the user ---------------------------------------------------------------------------------- */

/*
 * Writes without blocking. The command shares the descriptor, so its flags must not change: send(2) has a flag for one call on a
 * socket, and a file with a name in /proc is opened again. Only a terminal is not shared, so its flags change during the write.
 */
void session_write(int fd, struct str bytes)
{
        AUTO_MEM char *path = mem_printf("/proc/self/fd/%d", fd);
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0 || errno != ENOTSOCK)
                return;
        if (isatty(fd)) {
                int flags = fcntl(fd, F_GETFL);

                fcntl(fd, F_SETFL, flags | O_NONBLOCK);
                n = write(fd, bytes.ptr, bytes.len);
                fcntl(fd, F_SETFL, flags);
                return;
        }
        AUTO_FD int again = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_APPEND);
        if (again >= 0)
                n = write(again, bytes.ptr, bytes.len); /* a failure cannot be reported anywhere */
        (void)n;
}

void session_send(int fd, bool is_terminal, struct str text)
{
        AUTO(buf) line = BUF_MAX(SESSION_TEXT_MAX + 64);

        buf_put_c(&line, is_terminal ? "\r\nteleport: " : "teleport: ");
        escape_text(&line, text, SESSION_TEXT_MAX);
        buf_put_c(&line, is_terminal ? "\r\n" : "\n");
        session_write(fd, buf_str(&line));
}

/* ---- the beginning -------------------------------------------------------------------------------------------- */

/* The command as it is reported: escaped text, cut to the length that the audit stores. The command itself runs unchanged. */
static const char *reported_command(const char *command, struct buf *out)
{
        struct str text = str_of(command);

        if (text.len <= SESSION_COMMAND_MAX && text_is_utf8(text))
                return command == NULL ? "" : command;
        escape_text(out, text, SESSION_COMMAND_MAX);
        return buf_c(out);
}

static void put_start(struct channel *c, const struct session_options *o, const struct session_request *request, int terminal)
{
        AUTO(buf) command = BUF_MAX(SESSION_COMMAND_MAX + 16);
        AUTO(buf) term = BUF_MAX(SESSION_TEXT_MAX);
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Start start = CTELEPORT__SESSION__V1__START__INIT;
        struct winsize size = { 0 };

        if (request->has_pty) {
                ioctl(terminal, TIOCGWINSZ, &size);
                escape_text(&term, str_of(session_variable(o->environment, "TERM")), 64);
        }
        start.connection_id = pb_text(o->connection);
        start.kind = pb_text(request->kind);
        start.command = pb_text(reported_command(request->command, &command));
        start.has_pty = request->has_pty;
        start.columns = size.ws_col;
        start.rows = size.ws_row;
        start.term = pb_text(buf_c(&term));
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_START;
        up.start = &start;
        channel_put(c, &up);
}

/* Signals were blocked when this program was started, so that no signal ended it before its handlers were set. */
static void let_signals_in(void)
{
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
}

struct error *session_begin(struct channel *c, const struct session_options *o, const struct session_request *request,
                            int terminal, const Cteleport__Session__V1__Approval **ret)
{
        const helper_down *down;

        TRY(channel_open(c, o->socket, o->server));
        put_start(c, o, request, terminal);
        TRY(channel_flush(c, MILLISECONDS(TIMEOUT_SESSION_FLUSH)));
        let_signals_in();
        TRY(channel_await(c, MILLISECONDS(TIMEOUT_SESSION_ANSWER), &down));
        switch (down->payload_case) {
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_APPROVAL:
                *ret = down->approval;
                return session_approval_check(down->approval);
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_REFUSAL:
                return error_new(ERROR_PERMISSION_DENIED, "%s", down->refusal->text);
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_END:
                return error_new(ERROR_PERMISSION_DENIED, "%s", down->end->text);
        default:
                return error_new(ERROR_INTERNAL, "the SSH Service answered something else");
        }
}

/* ---- a refusal ------------------------------------------------------------------------------------------------- */

/* Answers SFTP requests until the client has the whole answer, or sends other data. No other work waits for this. */
static void serve_refusal(struct str sentence)
{
        const struct instant end = instant_add(clock_now(clock_system()), MILLISECONDS(TIMEOUT_SESSION_REFUSAL));
        struct sftp_refusal refusal = { .sentence = sentence };
        AUTO(buf) answer = BUF_MAX(SFTP_REFUSAL_ANSWER_MAX);
        struct error *err = NULL;
        char bytes[4 * KiB];

        while (err == NULL) {
                struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
                int64_t left = duration_ms(instant_since(end, clock_now(clock_system())));
                ssize_t n = left <= 0 || poll(&in, 1, (int)left) <= 0 ? 0 : read(STDIN_FILENO, bytes, sizeof bytes);

                if (n <= 0)
                        break;
                for (size_t at = 0, len = 0; err == NULL && at < (size_t)n; at += len) {
                        err = sftp_refusal_feed(&refusal, str_of_bytes(bytes + at, (size_t)n - at), &len, &answer);
                        session_write(STDOUT_FILENO, buf_str(&answer));
                        buf_clear(&answer);
                }
        }
        error_free(err);
}

/* Sends the refusal by the protocol that the client expects, if that protocol can carry a message. */
static void report_copier(const struct session_request *request, const char *why)
{
        enum { SENTENCE_MAX = SFTP_REFUSAL_ANSWER_MAX - 64 };
        AUTO(buf) sentence = BUF_MAX(SENTENCE_MAX + 8);

        buf_put_c(&sentence, "teleport: ");
        escape_text(&sentence, str_of(why), SENTENCE_MAX - 16);
        if (request->has_pty)
                return;
        if (request->is_subsystem) {
                serve_refusal(buf_str(&sentence));
        } else if (strcmp(request->kind, "scp") == 0) {
                AUTO(buf) line = BUF_MAX(SFTP_REFUSAL_ANSWER_MAX);

                buf_printf(&line, "\001%s\n", buf_c(&sentence));
                session_write(STDOUT_FILENO, buf_str(&line));
        }
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static struct error *report_exit(struct channel *c, const struct session_outcome *outcome)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Exit exit = CTELEPORT__SESSION__V1__EXIT__INIT;
        const char *name = outcome->signal == 0 ? "" : sigabbrev_np(outcome->signal);

        exit.code = outcome->code;
        exit.signal = pb_text(name == NULL ? "?" : name);
        exit.reason = pb_text(outcome->reason);
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_EXIT;
        up.exit = &exit;
        if (c->fd < 0)
                return NULL;
        channel_put(c, &up);
        return channel_flush(c, MILLISECONDS(TIMEOUT_SESSION_FLUSH));
}

struct error *session_run(const struct session_options *o, const char *command, int terminal, struct session_outcome *ret)
{
        struct session_request request = session_request_of(command, o->sftp, terminal >= 0);
        AUTO(channel) channel = { .fd = -1 };
        AUTO(session_terminal) outer = { .fd = -1 };
        const Cteleport__Session__V1__Approval *approval;

        *ret = (struct session_outcome){ .code = NOTHING_RAN };
        request.shell = o->shell;
        request.environment = o->environment;
        request.greeting = o->greeting;
        if (terminal >= 0) /* before the request, so that keys typed ahead are echoed by the terminal that is recorded */
                TRY(session_terminal_take(&outer, terminal));
        struct error *err = session_begin(&channel, o, &request, terminal, &approval);
        if (err != NULL) {
                channel_release(&channel);
                let_signals_in();
                report_copier(&request, err->what);
                return err;
        }
        err = request.has_pty ? session_run_pty(&channel, &request, approval, &outer, ret) : session_run_plain(&channel, &request, approval, ret);
        if (err != NULL)
                snprintf(ret->reason, sizeof ret->reason, "%s", err->what);
        AUTO_PTR(error) unreported = report_exit(&channel, ret);
        (void)unreported; /* the SSH Service sees the end of this process in any case */
        return err;
}

/* Ends this process by the signal that ended the command, so that sshd reports the same signal to the client. */
static void end_by(int signum)
{
        sigset_t set;
        struct rlimit none = { 0, 0 };

        setrlimit(RLIMIT_CORE, &none);
        signal(signum, SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, signum);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        raise(signum);
}

/* The environment that sshd would have passed to the shell, without the marks. Entries without a mark are not the account's. */
static const char **account_environment(void)
{
        size_t count = 0;

        for (char **entry = environ; *entry != NULL; entry++)
                count++;
        const char **list = mem_array(count + 1, sizeof(*list));
        count = 0;
        for (char **entry = environ; *entry != NULL; entry++)
                if ((*entry)[0] == SESSION_ENV_MARK)
                        list[count++] = *entry + 1;
        list[count] = NULL;
        return list;
}

/* The account's shell, read from the account database as sshd does. */
static const char *account_shell(void)
{
        const struct passwd *account = getpwuid(getuid());

        return account == NULL || account->pw_shell[0] == '\0' ? "/bin/sh" : account->pw_shell;
}

int session_main(int argc, char **argv)
{
        struct session_options options;
        struct session_outcome outcome = { .code = NOTHING_RAN };
        int terminal = isatty(STDIN_FILENO) ? STDIN_FILENO : -1;

        /* Only root may read the memory of this process: not the user's other processes, nor the programs of this session. */
        process_hide();
        AUTO_MEM const char **environment = account_environment();
        AUTO_PTR(error) err = session_options_read(argc, argv, &options);
        options.environment = environment;
        options.greeting = getenv(SESSION_GREETING);
        if (options.shell == NULL)
                options.shell = account_shell();
        if (err == NULL)
                err = session_run(&options, session_variable(environment, "SSH_ORIGINAL_COMMAND"), terminal, &outcome);
        if (err != NULL)
                session_send(STDERR_FILENO, terminal >= 0, str_of(err->what));
        if (outcome.signal != 0 && outcome.reason[0] == '\0')
                end_by(outcome.signal);
        return outcome.reason[0] == '\0' ? outcome.code : NOTHING_RAN;
}
