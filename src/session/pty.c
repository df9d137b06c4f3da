/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session on a terminal. sshd has made one for this process (the outer); the user's shell gets another (the inner), and
 * this process copies every byte between the two:
 *
 *      outer ── typed ──▶ inner
 *      outer ◀── screen ── inner       read, sent to the recorder, and shown only then
 *                  │
 *                  └──▶ channel        Output
 *
 * No side is read while earlier data of it is not written yet, so the slowest of the client, the recorder and the
 * shell determines the rate, and memory is limited to three buffers.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/pb.h"
#include "session/session_internal.h"
#include "session/wire.h"

enum {
        SCREEN_MAX = 64 * KiB,
        TYPED_MAX = 16 * KiB,
        NOTICE_ROOM = 3 * SESSION_TEXT_MAX, /* for messages of this process among the output */
};

struct relay {
        struct channel *channel;
        struct child child;
        const struct session_terminal *terminal;
        int outer, inner;         /* non-blocking; inner is -1 after it was closed */
        struct buf screen;
        size_t recorded;          /* bytes of screen that are recorded and may be shown */
        struct buf typed;
        uint64_t unreported;          /* number of typed bytes that are not reported to the recorder yet */
        bool is_recording;
        bool is_resized;          /* the inner terminal still has the old size */
        bool is_silent;           /* the outer terminal is closed */
        bool is_over;             /* this process is ending the session */
        struct duration idle_timeout;
        struct instant last_typed;
        struct session_outcome *outcome;
};

static struct instant now(void)
{
        return clock_now(clock_system());
}

/* ---- the two terminals ------------------------------------------------------------------------------------ */

static void release_relay(struct relay *r)
{
        if (r->inner >= 0)
                close(r->inner);
        buf_release(&r->screen);
        buf_release(&r->typed);
        child_release(&r->child);
}

void session_terminal_release(struct session_terminal *t)
{
        if (t->fd < 0)
                return;
        ioctl(t->fd, TIOCNXCL);
        tcsetattr(t->fd, TCSANOW, &t->modes);
        fcntl(t->fd, F_SETFL, t->flags);
        t->fd = -1;
}

/*
 * Data that was typed earlier is read while the terminal still echoes: the kernel may process a key as late as in this
 * read, and echoes the key or not by the modes of that moment.
 */
struct error *session_terminal_take(struct session_terminal *t, int fd)
{
        struct termios unbuffered, raw;

        t->fd = -1;
        if (tcgetattr(fd, &t->modes) < 0)
                return error_errno(errno, "cannot read the modes of the terminal");
        t->flags = fcntl(fd, F_GETFL);
        raw = unbuffered = t->modes;
        unbuffered.c_lflag &= ~(tcflag_t)ICANON;
        cfmakeraw(&raw);
        if (fcntl(fd, F_SETFL, t->flags | O_NONBLOCK) < 0 || tcsetattr(fd, TCSANOW, &unbuffered) < 0)
                return error_errno(errno, "cannot set the modes of the terminal");
        ioctl(fd, TIOCEXCL);
        t->fd = fd;
        ssize_t n = read(fd, t->ahead, sizeof t->ahead);
        t->ahead_len = n > 0 ? (size_t)n : 0;
        if (tcsetattr(fd, TCSANOW, &raw) == 0)
                return NULL;
        struct error *err = error_errno(errno, "cannot set the modes of the terminal");
        session_terminal_release(t);
        return err;
}

/* Echoes as the line discipline does, termios(3): ECHO, ECHOCTL, ONLCR. */
void session_terminal_echo(const struct session_terminal *t, struct buf *out)
{
        for (size_t i = 0; i < t->ahead_len && t->modes.c_lflag & ECHO; i++) {
                char c = t->ahead[i];
                bool is_control = (uint8_t)c < 0x20 || c == 0x7f;

                if (c == '\n' && t->modes.c_oflag & OPOST && t->modes.c_oflag & ONLCR)
                        buf_put_c(out, "\r\n");
                else if (is_control && c != '\n' && c != '\t' && t->modes.c_lflag & ECHOCTL)
                        buf_printf(out, "^%c", c ^ 0x40);
                else
                        buf_put_char(out, c);
        }
}

static struct error *start(struct relay *r, const struct session_request *request, const Cteleport__Session__V1__Approval *approval)
{
        enum { PROGRAM_MAX = 4 * MiB }; /* the kernel accepts no larger environment */
        AUTO_PTR(arena) arena = arena_new(PROGRAM_MAX);
        struct session_program program;
        struct winsize size = { 0 };
        char name[64];
        int inner, slave;

        ioctl(r->outer, TIOCGWINSZ, &size);
        if (openpty(&inner, &slave, NULL, &r->terminal->modes, &size) < 0)
                return error_errno(errno, "cannot make a terminal");
        AUTO_FD int theirs = slave;
        r->inner = inner;
        if (ttyname_r(slave, name, sizeof name) != 0 || fcntl(inner, F_SETFD, FD_CLOEXEC) < 0 ||
            fcntl(slave, F_SETFD, FD_CLOEXEC) < 0 || fcntl(inner, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
                return error_errno(errno, "cannot prepare a terminal");
        session_program_plan(arena, request, approval, name, &program);
        return child_start(&r->child, &program, theirs, -1);
}

static void release_inner(struct relay *r)
{
        if (r->inner >= 0)
                close(r->inner); /* the kernel sends SIGHUP to the shell and to the foreground process group */
        r->inner = -1;
}

/* ---- output: inner, recorder, outer -------------------------------------------------------------------------- */

static void report_part(struct relay *r, struct str bytes)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Output output = CTELEPORT__SESSION__V1__OUTPUT__INIT;

        output.data = pb_bytes(bytes);
        output.input_bytes = r->unreported;
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_OUTPUT;
        up.output = &output;
        channel_put(r->channel, &up);
        r->unreported = 0;
}

static void report_output(struct relay *r, struct str bytes)
{
        report_part(r, str_slice(bytes, 0, SESSION_OUTPUT_MAX));
        for (size_t at = SESSION_OUTPUT_MAX; at < bytes.len; at += SESSION_OUTPUT_MAX)
                report_part(r, str_slice(bytes, at, SESSION_OUTPUT_MAX));
}

/* Reads until no more data is available, or until one message is full. */
static void read_inner(struct relay *r)
{
        size_t before = r->screen.len;

        while (r->inner >= 0 && r->screen.len < SCREEN_MAX) {
                size_t room = SCREEN_MAX - r->screen.len;
                char *at = buf_extend(&r->screen, room);
                ssize_t n = read(r->inner, at, room);

                r->screen.len -= n > 0 ? room - (size_t)n : room;
                if (n > 0)
                        continue;
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        break;
                release_inner(r); /* EIO: no process has the other side open */
        }
        struct str bytes = str_slice(buf_str(&r->screen), before, r->screen.len);
        if (bytes.len > 0 && r->is_recording)
                report_output(r, bytes);
}

static void show(struct relay *r)
{
        while (r->recorded > 0 && !r->is_silent) {
                ssize_t n = write(r->outer, r->screen.ptr, r->recorded);

                if (n >= 0) {
                        buf_consume(&r->screen, (size_t)n);
                        r->recorded -= (size_t)n;
                } else if (errno != EINTR) {
                        r->is_silent = errno != EAGAIN;
                        return;
                }
        }
}

/* Shows a message on the terminal, after the output that is pending there. The message is not part of the recording. */
static void send_message(struct relay *r, struct str text)
{
        AUTO(buf) line = BUF_MAX(SESSION_TEXT_MAX + 64);

        buf_put_c(&line, "\r\nteleport: ");
        escape_text(&line, text, SESSION_TEXT_MAX);
        buf_put_c(&line, "\r\n");
        if (line.len <= r->screen.max - r->screen.len) /* a client that does not read gets no further message */
                buf_put(&r->screen, buf_str(&line));
}

/* Keys typed before the session began: they have been echoed, so they are recorded, and are then the shell's input. */
static void take_ahead(struct relay *r)
{
        AUTO(buf) echo = BUF_MAX(2 * TERMINAL_QUEUE);

        session_terminal_echo(r->terminal, &echo);
        buf_put(&r->typed, str_of_bytes(r->terminal->ahead, r->terminal->ahead_len));
        r->unreported = r->terminal->ahead_len;
        if (echo.len > 0 && r->is_recording)
                report_output(r, buf_str(&echo));
}

/* Shows the text that precedes the shell's output. It is recorded like the shell's output. */
static void show_greeting(struct relay *r, const struct session_request *request)
{
        AUTO(buf) text = BUF_MAX(SCREEN_MAX - TERMINAL_QUEUE);

        session_greeting_put(&text, request, r->terminal);
        buf_put(&r->screen, buf_str(&text));
        if (text.len > 0 && r->is_recording)
                report_output(r, buf_str(&text));
}

/* ---- input ----------------------------------------------------------------------------------------------------- */

static void read_outer(struct relay *r)
{
        size_t room = TYPED_MAX - r->typed.len;
        char *at = buf_extend(&r->typed, room);
        ssize_t n = read(r->outer, at, room);

        r->typed.len -= n > 0 ? room - (size_t)n : room;
        if (n > 0) {
                r->unreported += (uint64_t)n;
                r->last_typed = now();
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
                r->is_silent = true;
        }
}

static void type(struct relay *r)
{
        while (r->inner >= 0 && r->typed.len > 0) {
                ssize_t n = write(r->inner, r->typed.ptr, r->typed.len);

                if (n > 0)
                        buf_consume(&r->typed, (size_t)n);
                else if (n == 0 || errno == EAGAIN)
                        return;
                else if (errno != EINTR)
                        buf_clear(&r->typed); /* no process has the other side open */
        }
        if (r->inner < 0)
                buf_clear(&r->typed);
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

/* Shows the recorded output for a limited time, because the client may have stopped reading. */
static void show_last(struct relay *r)
{
        struct instant end = instant_add(now(), MILLISECONDS(TIMEOUT_SESSION_FLUSH));

        for (;;) {
                struct pollfd p = { .fd = r->outer, .events = POLLOUT };
                int64_t left = duration_ms(instant_since(end, now()));

                show(r);
                if (r->recorded == 0 || r->is_silent || left <= 0 || poll(&p, 1, (int)left) == 0)
                        return;
        }
}

/* Shows the recorded output and drops the rest, which must not be shown; then shows the reason, if the client still reads. */
static void end_it(struct relay *r, const char *reason)
{
        if (r->is_over)
                return;
        r->is_over = true;
        snprintf(r->outcome->reason, sizeof r->outcome->reason, "%s", reason);
        pid_t in_front = r->inner < 0 ? -1 : tcgetpgrp(r->inner);
        release_inner(r);
        r->screen.len = r->recorded;
        send_message(r, str_of(reason));
        r->recorded = r->screen.len;
        show_last(r);
        child_kill(&r->child, SIGHUP);
        child_end(&r->child, MILLISECONDS(TIMEOUT_SESSION_HANGUP));
        if (in_front > 1)
                kill(-in_front, SIGKILL);
}

/* The client has disconnected: sends SIGHUP, as sshd does. A process that ignores SIGHUP continues, but the shell is ended. */
static void hang_up(struct relay *r)
{
        r->is_over = true;
        release_inner(r);
        child_kill(&r->child, SIGHUP);
        child_end(&r->child, MILLISECONDS(TIMEOUT_SESSION_HANGUP));
}

/* ---- messages of the recorder --------------------------------------------------------------------------------------- */

static void handle_message(void *ctx, const helper_down *down)
{
        struct relay *r = ctx;

        if (r->is_over)
                return;
        if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_END) {
                end_it(r, down->end->text);
        } else if (down->payload_case == CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_NOTICE) {
                r->is_recording &= !down->notice->stop_output;
                send_message(r, str_of(down->notice->text));
        }
}

/* ---- signals -------------------------------------------------------------------------------------------------------- */

/* Sent when the recorder has received all earlier data: only one message waits, however often a client resizes. */
static void resize(struct relay *r)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Resize size = CTELEPORT__SESSION__V1__RESIZE__INIT;
        struct winsize cells;

        r->is_resized = false;
        if (r->inner < 0 || ioctl(r->outer, TIOCGWINSZ, &cells) < 0)
                return;
        size.columns = cells.ws_col;
        size.rows = cells.ws_row;
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_RESIZE;
        up.resize = &size;
        channel_put(r->channel, &up); /* before the ioctl, so that the output for the new size follows the message */
        ioctl(r->inner, TIOCSWINSZ, &cells);
}

static void signal_front(const struct relay *r, int signum)
{
        pid_t group = r->inner < 0 ? -1 : tcgetpgrp(r->inner);

        if (group > 1)
                kill(-group, signum);
}

static void take_signals(struct relay *r)
{
        int signum;

        while ((signum = child_signal(&r->child)) != 0) {
                if (signum == SIGWINCH)
                        r->is_resized = true;
                else if (signum == SIGHUP)
                        r->is_silent = true;
                else if (signum != SIGCHLD)
                        signal_front(r, signum);
        }
}

/* ---- the loop --------------------------------------------------------------------------------------------------------- */

/* Milliseconds until the idle timeout; -1 without one. */
static int timeout(const struct relay *r)
{
        if (r->idle_timeout.ns == 0)
                return -1;
        int64_t left = duration_ms(instant_since(instant_add(r->last_typed, r->idle_timeout), now())) + 1;
        return left < 0 ? 0 : left > 3600 * 1000 ? 3600 * 1000 : (int)left;
}

static void check_idle(struct relay *r)
{
        AUTO(buf) text = BUF_MAX(128);

        if (r->idle_timeout.ns == 0 || instant_since(now(), r->last_typed).ns < r->idle_timeout.ns)
                return;
        buf_put_c(&text, "the session was ended: no input for ");
        duration_put(&text, r->idle_timeout);
        end_it(r, buf_c(&text));
}

enum { SIGNALS, OUTER, INNER, CHANNEL, WATCHED };

static short either(bool reads, bool writes)
{
        return (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

/* Waits until data can be copied. The inner terminal is left out if no data can: after its hang-up, poll(2) returns at once. */
static void wait_for(struct relay *r, struct pollfd *fds)
{
        bool has_backlog = channel_backlog(r->channel) > 0;
        short inner = either(r->screen.len < SCREEN_MAX && !has_backlog, r->typed.len > 0);

        fds[SIGNALS] = (struct pollfd){ .fd = r->child.signals, .events = POLLIN };
        fds[OUTER] = (struct pollfd){ .fd = r->outer, .events = either(r->typed.len == 0, r->recorded > 0) };
        fds[INNER] = (struct pollfd){ .fd = inner == 0 ? -1 : r->inner, .events = inner };
        fds[CHANNEL] = (struct pollfd){ .fd = r->channel->fd, .events = either(true, has_backlog) };
        for (size_t i = 0; i < WATCHED; i++)
                fds[i].revents = 0;
        poll(fds, WATCHED, timeout(r));
}

/* One turn of the loop. All errors are errors of the recorder. */
static struct error *step(struct relay *r)
{
        struct pollfd fds[WATCHED];

        wait_for(r, fds);
        take_signals(r);
        if (fds[OUTER].revents & (POLLHUP | POLLERR))
                r->is_silent = true;
        else if (fds[OUTER].revents & POLLIN)
                read_outer(r);
        type(r);
        if (fds[INNER].revents & (POLLIN | POLLHUP | POLLERR) && fds[INNER].events & POLLIN)
                read_inner(r);
        TRY(channel_turn(r->channel, fds[CHANNEL].revents, handle_message, r));
        if (r->is_over)
                return NULL;
        if (channel_backlog(r->channel) == 0) {
                r->recorded = r->screen.len;
                if (r->is_resized)
                        resize(r);
        }
        show(r);
        check_idle(r);
        return NULL;
}

/* Whether all output of the session is copied: poll(2) also makes the kernel deliver data that it still buffers. */
static bool is_drained(struct relay *r)
{
        struct pollfd p = { .fd = r->inner, .events = POLLIN };

        return r->screen.len == 0 && (r->inner < 0 || poll(&p, 1, 0) == 0 || !(p.revents & (POLLIN | POLLHUP)));
}

static void relay(struct relay *r)
{
        struct error *first = channel_turn(r->channel, 0, handle_message, r); /* messages that arrived together with the approval */

        while (!r->is_over) {
                AUTO_PTR(error) err = first != NULL ? first : step(r);

                first = NULL;
                if (err != NULL)
                        end_it(r, err->what);
                else if (r->is_silent && !r->is_over)
                        hang_up(r);
                else if (r->child.has_ended && is_drained(r))
                        return;
        }
}

struct error *session_run_pty(struct channel *c, const struct session_request *request, const Cteleport__Session__V1__Approval *approval,
                              const struct session_terminal *terminal, struct session_outcome *ret)
{
        struct relay r __attribute__((cleanup(release_relay))) = {
                .channel = c,
                .child = { .signals = -1 },
                .terminal = terminal,
                .outer = terminal->fd,
                .inner = -1,
                .screen = BUF_MAX(SCREEN_MAX + NOTICE_ROOM),
                .typed = BUF_MAX(TYPED_MAX),
                .is_recording = approval->is_recorded,
                .idle_timeout = MILLISECONDS(approval->idle_timeout_ms > 0 ? approval->idle_timeout_ms : 0),
                .last_typed = now(),
                .outcome = ret,
        };

        TRY(child_prepare(&r.child));
        TRY(start(&r, request, approval));
        take_ahead(&r);
        show_greeting(&r, request);
        relay(&r);
        if (r.unreported > 0 && r.channel->fd >= 0)
                report_output(&r, (struct str){ 0 });
        child_outcome(&r.child, ret);
        return NULL;
}
