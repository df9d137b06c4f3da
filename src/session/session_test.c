/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session program on a terminal that the test holds, with a recorder that the test plays. The terminal's output and
 * the recorded bytes are compared byte for byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "rpc/pb.h"
#include "session/session_internal.h"
#include "session/wire.h"

typedef Cteleport__Session__V1__HelperUp up_message;
typedef Cteleport__Session__V1__HelperDown down_message;

enum { KEPT_MAX = 64 * MiB };

struct testbed {
        const char *sftp; /* the node's sftp-server; NULL: none */
        int their_end;    /* of a client that does not read; -1: not kept */
        int listener, conn;
        int terminal;          /* our end of the outer terminal, or of the program's input and output */
        struct termios modes;  /* of the terminal, before the program began */
        pid_t program;
        bool has_exited;
        int status;
        char name[64];
        struct buf frames;     /* from the program, not taken yet */
        struct buf received;      /* bytes of Output */
        struct buf shown;      /* the output of the terminal */
        struct buf sizes;      /* "80x24 " … */
        struct buf files;      /* "open /x;" … */
        uint64_t input_bytes;
        bool has_started, has_reported_exit;
        char kind[16], command[256], term[32];
        char signal[16], reason[256];
        int code;
        unsigned columns, rows;
        bool is_unresponsive;  /* the recorder does not read */
        bool is_blind;         /* the terminal is not read */
        bool is_hung_up;       /* no process has the terminal open */
};

/* ---- the testbed --------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
        static struct testbed w;
        static unsigned number;
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        w = (struct testbed){ .conn = -1, .terminal = -1, .their_end = -1, .frames = BUF_MAX(KEPT_MAX), .received = BUF_MAX(KEPT_MAX),
                            .shown = BUF_MAX(KEPT_MAX), .sizes = BUF_MAX(64 * KiB), .files = BUF_MAX(64 * KiB) };
        snprintf(w.name, sizeof w.name, "session-test-%d-%u", getpid(), number++);
        memcpy(address.sun_path + 1, w.name, strlen(w.name));
        w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(w.listener, (struct sockaddr *)&address,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(w.name))), 0);
        assert_int_equal(listen(w.listener, 8), 0);
        *state = &w;
        return 0;
}

static void close_end(int *fd)
{
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

static int tear_down(void **state)
{
        struct testbed *w = *state;

        if (w->program > 0 && !w->has_exited) {
                kill(w->program, SIGKILL);
                waitpid(w->program, NULL, 0);
        }
        close_end(&w->listener);
        close_end(&w->conn);
        close_end(&w->terminal);
        close_end(&w->their_end);
        buf_release(&w->frames);
        buf_release(&w->received);
        buf_release(&w->shown);
        buf_release(&w->sizes);
        buf_release(&w->files);
        return 0;
}

static NO_RETURN void be_the_program(const struct testbed *w, const char *command, int terminal, uid_t server)
{
        struct session_options options = { .socket = w->name, .connection = "the-connection", .sftp = w->sftp, .server = server,
                                           .shell = "/bin/sh", .environment = (const char *const *)environ };
        struct session_outcome outcome;

        for (int signum = 1; signum < NSIG; signum++)
                signal(signum, SIG_DFL); /* as for sshd; this test may run under nohup */
        struct error *err = session_run(&options, command, terminal, &outcome);
        if (err != NULL)
                session_send(STDERR_FILENO, terminal >= 0, str_of(err->what));
        error_free(err);
        _exit(outcome.reason[0] != '\0' ? 255 : outcome.code);
}

static void set_environment(void)
{
        clearenv();
        setenv("SHELL", "/bin/sh", 1);
        setenv("PATH", "/usr/bin:/bin", 1);
        setenv("TERM", "xterm", 1);
        setenv("SSH_CLIENT", "UNKNOWN 65535 65535", 1);
        setenv("HOME", "/", 1);
}

static void type_keys(struct testbed *w, const char *keys)
{
        assert_int_equal(write(w->terminal, keys, strlen(keys)), strlen(keys));
}

/* ahead: typed before the program runs, or NULL. */
static void start_on_terminal_with(struct testbed *w, const char *command, const char *ahead)
{
        struct winsize size = { .ws_col = 80, .ws_row = 24 };
        int slave;

        assert_int_equal(openpty(&w->terminal, &slave, NULL, NULL, &size), 0);
        assert_int_equal(tcgetattr(slave, &w->modes), 0);
        fcntl(w->terminal, F_SETFL, O_NONBLOCK);
        if (ahead != NULL)
                type_keys(w, ahead);
        w->program = fork();
        if (w->program == 0) {
                setsid();
                ioctl(slave, TIOCSCTTY, 0);
                for (int fd = 0; fd <= 2; fd++)
                        dup2(slave, fd);
                close(slave);
                close(w->terminal);
                close(w->listener);
                set_environment();
                be_the_program(w, command, 0, getuid());
        }
        close(slave);
}

static void start_on_terminal(struct testbed *w, const char *command)
{
        start_on_terminal_with(w, command, NULL);
}

static void start_on_pipe(struct testbed *w, const char *command, uid_t server)
{
        int ends[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        w->terminal = ends[0];
        w->program = fork();
        if (w->program == 0) {
                setsid();
                fcntl(ends[1], F_SETFL, 0);
                for (int fd = 0; fd <= 2; fd++)
                        dup2(ends[1], fd);
                close(ends[0]);
                close(ends[1]);
                close(w->listener);
                set_environment();
                be_the_program(w, command, -1, server);
        }
        if (w->is_blind)
                w->their_end = ends[1]; /* to see when it is full */
        else
                close(ends[1]);
}

/* ---- the recorder ------------------------------------------------------------------------------------------ */

static void send_down(struct testbed *w, const down_message *down)
{
        AUTO(buf) frame = BUF_MAX(SESSION_FRAME_MAX);

        session_frame_put(&frame, &down->base);
        assert_int_equal(send(w->conn, frame.ptr, frame.len, MSG_NOSIGNAL), frame.len);
}

static void let_go(struct testbed *w, bool is_recorded, int64_t idle_ms)
{
        down_message down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__Approval approval = CTELEPORT__SESSION__V1__APPROVAL__INIT;

        approval.session_id = "the-session";
        approval.user = "alice";
        approval.cluster = "example.com";
        approval.host_id = "the-host";
        approval.proxy_addr = "proxy:3080";
        approval.client_addr = "[2001:db8::7]:50122";
        approval.is_recorded = is_recorded;
        approval.idle_timeout_ms = idle_ms;
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_APPROVAL;
        down.approval = &approval;
        send_down(w, &down);
}

static void send_end(struct testbed *w, const char *text)
{
        down_message down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__End end = CTELEPORT__SESSION__V1__END__INIT;

        end.text = pb_text(text);
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_END;
        down.end = &end;
        send_down(w, &down);
}

static void send_notice(struct testbed *w, const char *text, bool stop_output)
{
        down_message down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__Notice notice = CTELEPORT__SESSION__V1__NOTICE__INIT;

        notice.text = pb_text(text);
        notice.stop_output = stop_output;
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_NOTICE;
        down.notice = &notice;
        send_down(w, &down);
}

static void refuse(struct testbed *w, const char *text)
{
        down_message down = CTELEPORT__SESSION__V1__HELPER_DOWN__INIT;
        Cteleport__Session__V1__Refusal refusal = CTELEPORT__SESSION__V1__REFUSAL__INIT;

        refusal.text = pb_text(text);
        down.payload_case = CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_REFUSAL;
        down.refusal = &refusal;
        send_down(w, &down);
}

static void receive_start(struct testbed *w, const Cteleport__Session__V1__Start *start)
{
        assert_string_equal(start->connection_id, "the-connection");
        w->has_started = true;
        snprintf(w->kind, sizeof w->kind, "%s", start->kind);
        snprintf(w->command, sizeof w->command, "%s", start->command);
        snprintf(w->term, sizeof w->term, "%s", start->term);
        w->columns = start->columns;
        w->rows = start->rows;
}

static void receive(struct testbed *w, const up_message *up)
{
        assert_false(w->has_reported_exit);
        switch (up->payload_case) {
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_START:
                receive_start(w, up->start);
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_OUTPUT:
                buf_put(&w->received, pb_str(up->output->data));
                w->input_bytes += up->output->input_bytes;
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_RESIZE:
                buf_printf(&w->sizes, "%ux%u ", up->resize->columns, up->resize->rows);
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_FILE:
                buf_printf(&w->files, "%s %s%s%s%s%s;", up->file->action, up->file->path,
                           up->file->target_path[0] == '\0' ? "" : " to ", up->file->target_path,
                           up->file->error[0] == '\0' ? "" : " failed: ", up->file->error);
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_EXIT:
                w->has_reported_exit = true;
                w->code = up->exit->code;
                snprintf(w->signal, sizeof w->signal, "%s", up->exit->signal);
                snprintf(w->reason, sizeof w->reason, "%s", up->exit->reason);
                break;
        default:
                fail_msg("an unexpected message");
        }
}

static void receive_frames(struct testbed *w)
{
        for (;;) {
                AUTO_PTR(arena) arena = arena_new(SESSION_ARENA);
                ProtobufCMessage *msg = NULL;
                size_t len = 0;

                assert_null(session_frame_read(buf_str(&w->frames), &cteleport__session__v1__helper_up__descriptor, arena, &msg, &len));
                if (len == 0)
                        return;
                receive(w, (const up_message *)msg);
                buf_consume(&w->frames, len);
        }
}

/* All messages are read before the terminal is, so every byte shown must have been received before. */
static void read_frames(struct testbed *w)
{
        static char chunk[256 * KiB];
        ssize_t n;

        while (w->conn >= 0 && (n = recv(w->conn, chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
                buf_put(&w->frames, str_of_bytes(chunk, (size_t)n));
        receive_frames(w);
}

static bool read_terminal(struct testbed *w)
{
        static char chunk[256 * KiB];
        ssize_t n = w->terminal < 0 ? 0 : read(w->terminal, chunk, sizeof chunk);

        if (n > 0)
                buf_put(&w->shown, str_of_bytes(chunk, (size_t)n));
        return n > 0;
}

/* Runs the testbed until an event or for a short time. */
static void pump(struct testbed *w)
{
        struct pollfd fds[] = {
                { .fd = w->conn < 0 ? w->listener : -1, .events = POLLIN },
                { .fd = w->is_unresponsive ? -1 : w->conn, .events = POLLIN },
                { .fd = w->is_blind || w->is_hung_up ? -1 : w->terminal, .events = POLLIN },
        };

        if (poll(fds, ARRAY_LEN(fds), w->has_exited ? 0 : 20) < 0 && errno != EINTR)
                fail_msg("poll failed");
        if (fds[0].revents & POLLIN)
                w->conn = accept(w->listener, NULL, NULL);
        w->is_hung_up = (fds[2].revents & (POLLHUP | POLLIN)) == POLLHUP;
        if (!w->is_blind)
                while (read_terminal(w))
                        ;
        if (!w->is_unresponsive)
                read_frames(w);
        if (!w->has_exited && waitpid(w->program, &w->status, WNOHANG) == w->program)
                w->has_exited = true;
}

#define await(w, condition)                                                                        \
        do {                                                                                       \
                struct instant end = instant_add(clock_now(clock_system()), MINUTES(1));          \
                                                                                                   \
                while (!(condition)) {                                                             \
                        if (clock_now(clock_system()).ns > end.ns)                                 \
                                fail_msg("waited in vain for " #condition);                        \
                        pump(w);                                                                   \
                }                                                                                  \
        } while (0)

static void await_exit(struct testbed *w)
{
        await(w, w->has_exited);
        pump(w); /* bytes left in the sockets */
}

/* Whether another message still fits between the program and the client. */
static bool is_writable(const struct testbed *w)
{
        return send(w->their_end, "", 1, MSG_DONTWAIT) == 1;
}

static bool has_shown(struct testbed *w, const char *text)
{
        return str_contains(buf_str(&w->shown), str_of(text));
}

/* The kernel may deliver bytes written to a terminal after their writer has ended. */
static void assert_received_what_was_shown(struct testbed *w)
{
        await(w, w->shown.len >= w->received.len);
        assert_int_equal(w->received.len, w->shown.len);
        assert_memory_equal(w->received.ptr, w->shown.ptr, w->received.len);
}

/* ---- the beginning -------------------------------------------------------------------------------------------- */

static void runs_nothing_before_it_may(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "echo it ran");
        await(w, w->has_started);
        assert_string_equal(w->kind, "exec");
        assert_string_equal(w->command, "echo it ran");
        assert_string_equal(w->term, "xterm");
        assert_int_equal(w->columns, 80);
        assert_int_equal(w->rows, 24);
        assert_int_equal(w->shown.len, 0);
        refuse(w, "not \x1b[2J today");
        await_exit(w);
        assert_int_equal(WEXITSTATUS(w->status), 255);
        assert_false(has_shown(w, "it ran"));
        await(w, has_shown(w, "teleport: not \\x1b[2J today"));
}

static void runs_nothing_without_an_answer(void **state)
{
        struct testbed *w = *state;

        close_end(&w->listener);
        start_on_pipe(w, "echo it ran", getuid());
        await_exit(w);
        assert_int_equal(WEXITSTATUS(w->status), 255);
        await(w, has_shown(w, "cannot be reached"));
        assert_false(has_shown(w, "it ran"));
}

static void runs_nothing_when_another_user_listens(void **state)
{
        struct testbed *w = *state;

        start_on_pipe(w, "echo it ran", getuid() + 1);
        await_exit(w);
        assert_int_equal(WEXITSTATUS(w->status), 255);
        await(w, has_shown(w, "instead of the SSH Service"));
}

static void runs_nothing_when_the_recorder_ends_before_it_answers(void **state)
{
        struct testbed *w = *state;

        start_on_pipe(w, "echo it ran", getuid());
        await(w, w->has_started);
        close_end(&w->conn);
        close_end(&w->listener);
        await_exit(w);
        assert_int_equal(WEXITSTATUS(w->status), 255);
        assert_false(has_shown(w, "it ran"));
}

/* ---- on a terminal ---------------------------------------------------------------------------------------------- */

static void records_a_shell_byte_for_byte(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, NULL);
        await(w, w->has_started);
        assert_string_equal(w->kind, "shell");
        type_keys(w, "echo typed ahead\n");
        let_go(w, true, 0);
        type_keys(w, "echo $0 is $((6*7)) on $SSH_TTY; printf '\\377\\200\\033[1m\\342\\202'; exit 3\n");
        await_exit(w);
        await(w, has_shown(w, "-sh is 42 on /dev/pts/"));
        assert_received_what_was_shown(w);
        assert_int_equal(WEXITSTATUS(w->status), 3);
        assert_true(w->has_reported_exit);
        assert_int_equal(w->code, 3);
        assert_string_equal(w->reason, "");
        assert_int_equal(w->input_bytes, strlen("echo typed ahead\n") + strlen("echo $0 is $((6*7)) on $SSH_TTY; printf '\\377\\200\\033[1m\\342\\202'; exit 3\n"));
}

static void records_input_typed_before_the_start(void **state)
{
        struct testbed *w = *state;

        start_on_terminal_with(w, NULL, "echo l\xc3\xa9\ta\rexi");
        await(w, w->has_started);
        let_go(w, true, 0);
        type_keys(w, "t 5\n");
        await_exit(w);
        assert_received_what_was_shown(w);
        assert_true(str_starts_with(buf_str(&w->shown), STR("echo l\xc3\xa9\ta\r\nexi")));
        assert_int_equal(w->code, 5);
}

static void records_binary_garbage_byte_for_byte(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "stty raw; head -c 3000000 /dev/urandom");
        await(w, w->has_started);
        let_go(w, true, 0);
        await_exit(w);
        assert_int_equal(w->shown.len, 3000000);
        assert_received_what_was_shown(w);
}

static void shows_no_output_that_the_recorder_has_not_accepted(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "stty raw; head -c 20000000 /dev/zero");
        await(w, w->has_started);
        let_go(w, true, 0);
        w->is_unresponsive = true;
        size_t before;
        do {
                before = w->shown.len;
                for (int i = 0; i < 10; i++)
                        pump(w);
        } while (w->shown.len != before || before == 0);
        /* The output shown is at most the bytes that the kernel holds for the recorder. */
        assert_true(w->shown.len < 1 * MiB);
        w->is_unresponsive = false;
        pump(w);
        assert_true(w->received.len >= before);
        await_exit(w);
        assert_int_equal(w->shown.len, 20000000);
        assert_received_what_was_shown(w);
}

static void waits_for_a_terminal_that_is_not_read(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "stty raw; head -c 20000000 /dev/zero");
        await(w, w->has_started);
        let_go(w, true, 0);
        w->is_blind = true;
        size_t before;
        do {
                before = w->received.len;
                for (int i = 0; i < 10; i++)
                        pump(w);
        } while (w->received.len != before || before == 0);
        assert_true(w->received.len < 1 * MiB);
        w->is_blind = false;
        await_exit(w);
        assert_received_what_was_shown(w);
}

static void passes_keys_as_they_are(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "stty raw -echo; echo ready; head -c 5 | od -An -tx1");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "ready"));
        assert_int_equal(write(w->terminal, "\x03\x04\x1a\xff\x00", 5), 5);
        await_exit(w);
        await(w, has_shown(w, "03 04 1a ff 00"));
        assert_received_what_was_shown(w);
}

static void interrupts_the_foreground_process(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 1; done");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "ready"));
        type_keys(w, "\x03");
        await_exit(w);
        await(w, has_shown(w, "caught"));
        assert_int_equal(WEXITSTATUS(w->status), 7);
}

static void follows_the_size_of_the_terminal(void **state)
{
        struct testbed *w = *state;
        struct winsize size = { .ws_col = 132, .ws_row = 43 };

        start_on_terminal(w, "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.1; done");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "24 80"));
        assert_int_equal(ioctl(w->terminal, TIOCSWINSZ, &size), 0);
        await_exit(w);
        await(w, has_shown(w, "43 132"));
        assert_string_equal(buf_c(&w->sizes), "132x43 ");
        assert_received_what_was_shown(w);
}

static void restores_the_modes_of_the_terminal(void **state)
{
        struct testbed *w = *state;
        struct termios after;

        start_on_terminal(w, "true");
        int keep = open(ptsname(w->terminal), O_RDWR | O_NOCTTY);
        assert_true(keep >= 0);
        await(w, w->has_started);
        let_go(w, true, 0);
        await_exit(w);
        tcgetattr(keep, &after);
        assert_int_equal(w->modes.c_lflag, after.c_lflag);
        assert_int_equal(w->modes.c_iflag, after.c_iflag);
        assert_int_equal(w->modes.c_oflag, after.c_oflag);
        close(keep);
}

static void shows_the_last_lines_written(void **state)
{
        struct testbed *w = *state;

        /* A background job keeps the terminal open: the end does not wait for it. */
        start_on_terminal(w, "trap '' HUP; sleep 30 & head -c 100000 /dev/zero | tr '\\0' x; echo the end");
        await(w, w->has_started);
        let_go(w, true, 0);
        await_exit(w);
        await(w, has_shown(w, "the end"));
        assert_received_what_was_shown(w);
}

static void reports_the_signal_that_ended_it(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "kill -TERM $$");
        await(w, w->has_started);
        let_go(w, true, 0);
        await_exit(w);
        assert_int_equal(w->code, 128 + SIGTERM);
        assert_string_equal(w->signal, "TERM");
        assert_string_equal(w->reason, "");
}

/* ---- ends ----------------------------------------------------------------------------------------------------------- */

static void ends_on_order_and_reports_the_reason(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "trap '' HUP TERM INT; echo ready; while :; do sleep 1; done");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "ready"));
        send_end(w, "locked by an administrator");
        await_exit(w);
        await(w, has_shown(w, "\r\nteleport: locked by an administrator\r\n"));
        assert_true(w->has_reported_exit);
        assert_string_equal(w->reason, "locked by an administrator");
        assert_int_equal(WEXITSTATUS(w->status), 255);
}

static void ends_on_order_though_the_terminal_is_not_read(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "yes");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, w->received.len > 100000);
        w->is_blind = true;
        for (int i = 0; i < 10; i++)
                pump(w);
        send_end(w, "locked");
        await_exit(w);
        assert_string_equal(w->reason, "locked");
}

static void ends_when_the_recorder_is_lost(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "echo ready; while :; do sleep 1; done");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "ready"));
        close_end(&w->conn);
        close_end(&w->listener);
        await_exit(w);
        await(w, has_shown(w, "the SSH Service of this node has closed the connection"));
        assert_int_equal(WEXITSTATUS(w->status), 255);
}

static void ends_when_the_recorder_is_lost_in_a_flood(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "yes");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, w->received.len > 1000000);
        read_frames(w);
        size_t received = w->received.len;
        close_end(&w->conn);
        close_end(&w->listener);
        await_exit(w);
        /* Bytes that the kernel accepted for the recorder before may still be shown. */
        assert_in_range(w->shown.len, 1, received + 1 * MiB);
        assert_int_equal(WEXITSTATUS(w->status), 255);
}

static void ends_when_the_terminal_hangs_up(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "echo ready; sleep 1000");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "ready"));
        close_end(&w->terminal);
        await_exit(w);
        assert_true(w->has_reported_exit);
        assert_string_equal(w->signal, "HUP");
}

static void ends_after_the_idle_time(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "echo ready; while :; do echo output is no input; sleep 0.02; done");
        await(w, w->has_started);
        let_go(w, true, 300);
        await_exit(w);
        await(w, has_shown(w, "no input for 300ms"));
        assert_true(w->has_reported_exit);
}

static void continues_unrecorded_when_ordered_so(void **state)
{
        struct testbed *w = *state;

        start_on_terminal(w, "echo first; head -n 1; echo second");
        await(w, w->has_started);
        let_go(w, true, 0);
        await(w, has_shown(w, "first"));
        send_notice(w, "recording stopped", true);
        await(w, has_shown(w, "recording stopped"));
        type_keys(w, "go\n");
        await_exit(w);
        await(w, has_shown(w, "second"));
        assert_false(str_contains(buf_str(&w->received), STR("second")));
        assert_int_equal(WEXITSTATUS(w->status), 0);
}

/* ---- without a terminal ------------------------------------------------------------------------------------------------ */

static void gives_a_command_its_own_input_and_output(void **state)
{
        struct testbed *w = *state;

        start_on_pipe(w, "cat; echo $SSH_TELEPORT_USER $SSH_CONNECTION $SSH_SESSION_ID ${SHLVL}x; exit 9", getuid());
        await(w, w->has_started);
        let_go(w, false, 0);
        type_keys(w, "some bytes\n");
        shutdown(w->terminal, SHUT_WR);
        await_exit(w);
        assert_string_equal(buf_c(&w->shown), "some bytes\nalice 2001:db8::7 50122 127.0.0.1 0 the-session x\n");
        assert_int_equal(w->received.len, 0);
        assert_int_equal(WEXITSTATUS(w->status), 9);
        assert_int_equal(w->code, 9);
}

static void passes_signals_to_a_command(void **state)
{
        struct testbed *w = *state;

        start_on_pipe(w, "trap 'echo caught; exit 4' TERM; echo ready; while :; do sleep 0.1; done", getuid());
        await(w, w->has_started);
        let_go(w, false, 0);
        await(w, has_shown(w, "ready"));
        kill(w->program, SIGTERM);
        await_exit(w);
        await(w, has_shown(w, "caught"));
        assert_int_equal(w->code, 4);
}

static void ends_a_command_on_order(void **state)
{
        struct testbed *w = *state;

        start_on_pipe(w, "trap '' HUP; echo ready; while :; do sleep 1; done", getuid());
        await(w, w->has_started);
        let_go(w, false, 0);
        await(w, has_shown(w, "ready"));
        send_end(w, "locked");
        await_exit(w);
        await(w, has_shown(w, "teleport: locked\n"));
        assert_string_equal(w->reason, "locked");
}

/* The client reads nothing, so all buffers to it are full. */
static void end_unread(struct testbed *w, const char *command)
{
        w->is_blind = true;
        start_on_pipe(w, command, getuid());
        await(w, w->has_started);
        let_go(w, false, 0);
        await(w, !is_writable(w)); /* nothing more can be written to the client */
        send_end(w, "locked");
        await_exit(w);
        assert_string_equal(w->reason, "locked");
}

static void ends_a_command_on_order_with_errors_unread(void **state)
{
        end_unread(*state, "exec yes >&2");
}

static void ends_a_file_transfer_on_order_with_errors_unread(void **state)
{
        struct testbed *w = *state;
        char server[] = "/tmp/cteleport-sftp-server.XXXXXX", command[128];
        AUTO_FD int fd = mkstemp(server);

        assert_true(dprintf(fd, "#!/bin/sh\nexec yes 'no word of sftp-server' >&2\n") > 0);
        assert_int_equal(fchmod(fd, 0700), 0);
        close(fd);
        fd = -1; /* a file that is open for writing is not executed */
        snprintf(command, sizeof command, "%s -e -l INFO", server);
        w->sftp = server;
        end_unread(w, command);
        unlink(server);
}

static void reports_when_the_shell_cannot_run(void **state)
{
        struct testbed *w = *state;

        w->sftp = "/nonexistent/sftp-server";
        start_on_pipe(w, "/nonexistent/sftp-server -e -l INFO", getuid());
        await(w, w->has_started);
        assert_string_equal(w->kind, "sftp");
        let_go(w, false, 0);
        await_exit(w);
        assert_int_equal(w->code, 127);
        await(w, has_shown(w, "cannot run /nonexistent/sftp-server"));
}

static void reports_the_operations_of_sftp_server(void **state)
{
        struct testbed *w = *state;
        static const char server[] = "/usr/lib/openssh/sftp-server";
        /* INIT version 3; OPENDIR "/nonexistent"; MKDIR under it; OPEN "/etc/hostname" to read. */
        static const char requests[] =
                "\0\0\0\5\1\0\0\0\3"
                "\0\0\0\x15\x0b\0\0\0\1\0\0\0\x0c/nonexistent"
                "\0\0\0\x1b\x0e\0\0\0\2\0\0\0\x0e/nonexistent/d\0\0\0\0"
                "\0\0\0\x1e\3\0\0\0\3\0\0\0\x0d/etc/hostname\0\0\0\1\0\0\0\0";

        if (access(server, X_OK) != 0)
                skip();
        w->sftp = server;
        start_on_pipe(w, "/usr/lib/openssh/sftp-server -e -l INFO", getuid());
        await(w, w->has_started);
        let_go(w, false, 0);
        assert_int_equal(write(w->terminal, requests, sizeof requests - 1), sizeof requests - 1);
        await(w, str_contains(buf_str(&w->files), STR("open ")));
        shutdown(w->terminal, SHUT_WR);
        await_exit(w);
        assert_string_equal(buf_c(&w->files), "opendir /nonexistent failed: No such file;"
                                              "mkdir /nonexistent/d failed: No such file;"
                                              "open /etc/hostname;close /etc/hostname;");
        assert_false(has_shown(w, "session opened"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
                T(runs_nothing_before_it_may),
                T(runs_nothing_without_an_answer),
                T(runs_nothing_when_another_user_listens),
                T(runs_nothing_when_the_recorder_ends_before_it_answers),
                T(records_a_shell_byte_for_byte),
                T(records_input_typed_before_the_start),
                T(records_binary_garbage_byte_for_byte),
                T(shows_no_output_that_the_recorder_has_not_accepted),
                T(waits_for_a_terminal_that_is_not_read),
                T(passes_keys_as_they_are),
                T(interrupts_the_foreground_process),
                T(follows_the_size_of_the_terminal),
                T(restores_the_modes_of_the_terminal),
                T(shows_the_last_lines_written),
                T(reports_the_signal_that_ended_it),
                T(ends_on_order_and_reports_the_reason),
                T(ends_on_order_though_the_terminal_is_not_read),
                T(ends_when_the_recorder_is_lost),
                T(ends_when_the_recorder_is_lost_in_a_flood),
                T(ends_when_the_terminal_hangs_up),
                T(ends_after_the_idle_time),
                T(continues_unrecorded_when_ordered_so),
                T(gives_a_command_its_own_input_and_output),
                T(passes_signals_to_a_command),
                T(ends_a_command_on_order),
                T(ends_a_command_on_order_with_errors_unread),
                T(ends_a_file_transfer_on_order_with_errors_unread),
                T(reports_when_the_shell_cannot_run),
                T(reports_the_operations_of_sftp_server),
#undef T
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
