/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session without a terminal: the command inherits sshd's descriptors, so its data does not pass through this process. This
 * process waits, forwards signals, ends the command when ordered to, and reports the file operations of sftp-server.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "rpc/pb.h"
#include "session/session_internal.h"
#include "session/sftp_log.h"
#include "session/wire.h"

enum { BACKLOG_MAX = SESSION_FRAME_MAX }; /* bytes of unsent reports of file operations; above it, the log is not read */

struct plain {
        struct channel *channel;
        struct child child;
        int log;            /* read end of sftp-server's stderr, or -1 */
        struct buf lines;   /* read from `log`, not parsed yet */
        struct sftp_operation held; /* reported when the log has no failure of it */
        bool is_holding;
        struct session_outcome *outcome;
        bool is_over;       /* this process is ending the session */
};

static void plain_release(struct plain *p)
{
        if (p->log >= 0)
                close(p->log);
        buf_release(&p->lines);
        if (p->is_holding)
                sftp_operation_release(&p->held);
        child_release(&p->child);
}

/* ---- the log of sftp-server --------------------------------------------------------------------------------- */

static void report_held(struct plain *p, const char *status)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__FileOperation op = CTELEPORT__SESSION__V1__FILE_OPERATION__INIT;

        if (!p->is_holding)
                return;
        op.action = pb_text(p->held.action);
        op.path = pb_text(buf_c(&p->held.path));
        op.target_path = pb_text(buf_c(&p->held.target));
        op.flags = pb_text(buf_c(&p->held.flags));
        op.bytes_read = p->held.bytes_read;
        op.bytes_written = p->held.bytes_written;
        op.error = pb_text(status);
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_FILE;
        up.file = &op;
        channel_put(p->channel, &up);
        sftp_operation_release(&p->held);
        p->is_holding = false;
}

/* `line` includes its newline. */
static void take_line(struct plain *p, struct str line)
{
        struct sftp_operation op;
        const char *status = NULL;

        switch (sftp_log_line(str_trim(line), &op, &status)) {
        case SFTP_LINE_STATUS:
                report_held(p, status);
                break;
        case SFTP_LINE_OPERATION:
                report_held(p, "");
                p->held = op;
                p->is_holding = true;
                break;
        case SFTP_LINE_NOTE:
                report_held(p, "");
                break;
        case SFTP_LINE_FOREIGN:
                session_write(STDERR_FILENO, line); /* sent to the client, which shows it */
        }
}

static void take_lines(struct plain *p, bool is_end)
{
        while (p->lines.len > 0) {
                struct str all = buf_str(&p->lines);
                size_t end = str_find_char(all, '\n');

                if (end == all.len && !is_end && all.len < SFTP_LINE_MAX)
                        return;
                struct str line = str_slice(all, 0, end + 1);
                take_line(p, line);
                buf_consume(&p->lines, line.len);
        }
}

static void read_log(struct plain *p)
{
        size_t room = SFTP_LINE_MAX - p->lines.len;
        char *at = buf_extend(&p->lines, room);
        ssize_t n = read(p->log, at, room);

        p->lines.len -= n > 0 ? room - (size_t)n : room;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        take_lines(p, n <= 0);
        if (n > 0)
                return;
        report_held(p, "");
        close(p->log);
        p->log = -1;
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void end_it(struct plain *p, const char *reason)
{
        if (p->is_over)
                return;
        p->is_over = true;
        snprintf(p->outcome->reason, sizeof p->outcome->reason, "%s", reason);
        session_send(STDERR_FILENO, false, str_of(reason));
        child_kill(&p->child, SIGHUP);
        child_kill(&p->child, SIGCONT);
        child_end(&p->child, MILLISECONDS(TIMEOUT_SESSION_HANGUP));
}

static void handle_message(void *ctx, const helper_down *down)
{
        struct plain *p = ctx;

        if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_END)
                end_it(p, down->end->text);
        else if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_NOTICE)
                session_send(STDERR_FILENO, false, str_of(down->notice->text));
}

static void take_signals(struct plain *p)
{
        int signum;

        while ((signum = child_signal(&p->child)) != 0)
                if (signum != SIGCHLD && signum != SIGWINCH)
                        child_kill(&p->child, signum);
}

static int timeout(const struct plain *p)
{
        return p->is_holding ? TIMEOUT_FILE_STATUS : -1;
}

/* One turn of the loop: waits for events and handles them. */
static void step(struct plain *p)
{
        struct pollfd fds[] = {
                { .fd = p->child.signals, .events = POLLIN },
                { .fd = p->channel->fd, .events = POLLIN },
                { .fd = channel_backlog(p->channel) < BACKLOG_MAX ? p->log : -1, .events = POLLIN },
        };

        if (channel_backlog(p->channel) > 0)
                fds[1].events |= POLLOUT;
        int n = poll(fds, ARRAY_LEN(fds), timeout(p));
        if (n == 0)
                report_held(p, "");
        if (fds[0].revents != 0)
                take_signals(p);
        if (fds[2].revents != 0)
                read_log(p);
        AUTO_PTR(error) err = channel_turn(p->channel, n > 0 ? fds[1].revents : 0, handle_message, p);
        if (err != NULL)
                end_it(p, err->what);
}

/* Replaces stdin and stdout, so that sshd sees when the command closes its own input and output. */
static void release_io(void)
{
        AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        if (null < 0)
                return;
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
}

static struct error *start(struct plain *p, const struct session_request *request, const Cteleport__Session__V1__Approval *approval)
{
        enum { PROGRAM_MAX = 4 * MiB }; /* the kernel accepts no larger environment */
        AUTO_PTR(arena) arena = arena_new(PROGRAM_MAX);
        struct session_program program;
        int log[2] = { -1, -1 };

        session_program_plan(arena, request, approval, NULL, &program);
        if (request->is_subsystem) {
                if (pipe2(log, O_CLOEXEC) < 0)
                        return error_errno(errno, "cannot make a pipe");
                fcntl(log[0], F_SETFL, O_NONBLOCK);
        }
        p->log = log[0];
        AUTO_FD int theirs = log[1];
        return child_start(&p->child, &program, -1, theirs);
}

struct error *session_run_plain(struct channel *c, const struct session_request *request,
                                const Cteleport__Session__V1__Approval *approval, struct session_outcome *ret)
{
        struct plain p __attribute__((cleanup(plain_release))) = {
                .channel = c, .log = -1, .lines = BUF_MAX(SFTP_LINE_MAX), .outcome = ret, .child = { .signals = -1 },
        };

        TRY(child_prepare(&p.child));
        TRY(start(&p, request, approval));
        release_io();
        struct error *err = channel_turn(p.channel, 0, handle_message, &p); /* messages that arrived together with the approval */
        if (err != NULL)
                end_it(&p, err->what);
        error_free(err);
        /* The last log lines of sftp-server are still in the pipe after its exit. */
        while (!p.is_over && (!p.child.has_ended || p.log >= 0))
                step(&p);
        child_outcome(&p.child, ret);
        return NULL;
}
