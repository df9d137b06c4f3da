/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fixture for tests of helpers.c: the helpers' socket, with fakes of sshd's programs, the supervisor and the cluster.
 * The spool is real. Included once in a program.
 */
#ifndef SSH_HELPERS_TESTING_H
#define SSH_HELPERS_TESTING_H

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/spool.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/file_testing.h"
#include "rpc/pb.h"
#include "session/wire.h"
#include "ssh/ssh.h"

typedef Cteleport__Session__V1__HelperUp helper_up;
typedef Cteleport__Session__V1__HelperDown helper_down;
typedef Cteleport__V1__ReportDecision decision_message;

static const char connection_id[] = "99999999-9999-4999-8999-999999999999";

struct connection {
        bool is_gone;
        int helpers; /* number of helpers of the connection */
        struct helper *last;
        const decision_message *decision;
        const char *why_ending;
};

enum { ACKS_MAX = 1024 };
#define is_waiting(fd) (recv((fd), &(char){ 0 }, 1, MSG_DONTWAIT | MSG_PEEK) < 0) /* neither closed nor refused */

struct ssh_service {
        struct loop loop;
        struct fake_clock clock;
        Cteleport__V1__SSHConfig config;
        struct host_identity identity;
        struct connection connection;
        struct helpers *helpers;
        struct spool *spool;
        char *dir;
        char name[64];

        /* the supervisor */
        void (*checked)(void *ctx, struct error *err);
        void *check_ctx;
        pid_t checked_pid;
        uid_t authorize_uid;

        /* the cluster */
        void (*decided)(void *ctx, const decision_message *decision, struct error *err);
        void *decide_ctx;
        struct buf reported; /* "start shell;" … */
        char session_id[64]; /* of the last start */
        struct {
                void (*acknowledged)(void *ctx, struct error *err);
                void *ctx;
        } acks[ACKS_MAX];
        size_t ack_count;

        /* the program */
        int program;
        struct buf frames;
        struct buf received; /* "go;" … */
};

static struct ssh_service *testbed;
static char helper_check; /* somewhere to point to */

/* ---- stand-ins for the service of the helpers ------------------------------------------------------------------ */

struct loop *ssh_loop(struct ssh_service *s)
{
        return &s->loop;
}

const Cteleport__V1__SSHConfig *ssh_config(const struct ssh_service *s)
{
        return &s->config;
}

struct spool *ssh_spool(struct ssh_service *s)
{
        return s->spool;
}

const struct host_identity *ssh_identity(const struct ssh_service *s)
{
        return &s->identity;
}

uid_t ssh_authorize_uid(const struct ssh_service *s UNUSED)
{
        return testbed->authorize_uid;
}

const char *ssh_node_name(const struct ssh_service *s UNUSED)
{
        return "web-1";
}

const char *ssh_proxy_addr(const struct ssh_service *s UNUSED)
{
        return "proxy:3080";
}

struct waiting {
        void (*done)(void *ctx, struct rpc_client *client, struct error *err);
        void *ctx;
};

static inline UNUSED void answer_away(void *ctx)
{
        struct waiting w = *(struct waiting *)ctx;

        free(ctx);
        w.done(w.ctx, NULL, error_new(ERROR_UNAVAILABLE, "the cluster is away"));
}

struct loop *agent_loop(struct agent *a UNUSED)
{
        return &testbed->loop;
}

void agent_request_auth(struct agent *a UNUSED, void (*done)(void *ctx, struct rpc_client *client, struct error *err), void *ctx)
{
        struct waiting *w = NEW(struct waiting);

        *w = (struct waiting){ done, ctx };
        loop_defer(&testbed->loop, answer_away, w);
}

struct connection *connection_find(struct ssh_service *s, struct str id)
{
        return str_equal(id, str_of(connection_id)) && !s->connection.is_gone ? &s->connection : NULL;
}

struct str connection_client_addr(const struct connection *c UNUSED)
{
        return STR("192.0.2.7:50122");
}

void connection_request(struct connection *c UNUSED, struct str certificate, struct str login, struct str nonce UNUSED,
                    void (*done)(void *ctx, const decision_message *decision, struct error *err), void *ctx)
{
        buf_printf(&testbed->reported, "ask %.*s %.*s;", STR_ARG(certificate), STR_ARG(login));
        testbed->decided = done;
        testbed->decide_ctx = ctx;
}

const char *connection_why_ending(const struct connection *c)
{
        return c->why_ending;
}

const decision_message *connection_decision(const struct connection *c)
{
        return c->decision;
}

void connection_report(struct connection *c UNUSED, const Cteleport__V1__ReportUp *up,
                     void (*acknowledged)(void *ctx, struct error *err), void *ctx)
{
        switch (up->payload_case) {
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_START:
                assert_true(up->start->wants_decision);
                snprintf(testbed->session_id, sizeof testbed->session_id, "%s", up->start->session_id);
                buf_printf(&testbed->reported, "start %s '%s'%s%s;", up->start->kind, up->start->command, up->start->is_recorded ? " recorded" : "",
                           up->start->is_repeated ? " again" : "");
                break;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_EXIT:
                buf_printf(&testbed->reported, "exit %d %s out %llu in %llu '%s';", up->exit->code, up->exit->signal,
                           (unsigned long long)up->exit->bytes_to_client, (unsigned long long)up->exit->bytes_from_client, up->exit->reason);
                break;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_REJECTED:
                buf_printf(&testbed->reported, "rejected '%s';", up->rejected->reason);
                break;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_RESIZE:
                buf_printf(&testbed->reported, "resize %ux%u;", up->resize->columns, up->resize->rows);
                break;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_FILE:
                buf_printf(&testbed->reported, "file %s %s;", up->file->action, up->file->path);
                break;
        default:
                fail_msg("an unexpected event was reported");
        }
        if (acknowledged == NULL)
                return;
        assert_true(testbed->ack_count < ACKS_MAX);
        testbed->acks[testbed->ack_count].acknowledged = acknowledged;
        testbed->acks[testbed->ack_count++].ctx = ctx;
}

void connection_session_reported(struct connection *c UNUSED)
{
}

void connection_add_helper(struct connection *c, struct helper *h)
{
        c->helpers++;
        c->last = h;
}

void connection_remove_helper(struct connection *c, struct helper *h UNUSED)
{
        c->helpers--;
        c->last = NULL;
}

struct helper_check *helper_check_start(struct ssh_service *s, struct str id, pid_t pid, int pidfd UNUSED, void (*done)(void *ctx, struct error *err), void *ctx)
{
        assert_true(str_equal(id, str_of(connection_id)));
        s->checked = done;
        s->check_ctx = ctx;
        s->checked_pid = pid;
        return (struct helper_check *)&helper_check;
}

void helper_check_cancel(struct helper_check *k)
{
        if (k != NULL)
                testbed->checked = NULL;
}

/* ---- the testbed ------------------------------------------------------------------------------------------------ */

static inline UNUSED int set_up(void **state)
{
        struct ssh_service *s = NEW(struct ssh_service);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        static unsigned number;

        testbed = s;
        s->authorize_uid = getuid();
        log_setup((struct log_options){ .level = LOG_ERROR, .fd = 2 });
        fake_clock_init(&s->clock, 1700000000);
        assert_null(loop_init(&s->loop, &s->clock.clock));
        s->config = (Cteleport__V1__SSHConfig)CTELEPORT__V1__SSHCONFIG__INIT;
        s->identity = (struct host_identity){ .host_id = STR("the-host"), .cluster = STR("example.com") };
        s->dir = test_dir_new();
        s->spool = spool_open((struct agent *)&helper_check, s->dir);
        s->reported = s->received = BUF_MAX(MiB);
        s->frames = BUF_MAX(MiB);
        snprintf(s->name, sizeof s->name, "helpers-test-%d-%u", getpid(), number++);
        memcpy(address.sun_path + 1, s->name, strlen(s->name));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(s->name));
        assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
        assert_int_equal(listen(fd, 64), 0);
        s->helpers = helpers_open(s, fd);
        s->program = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(s->program, (struct sockaddr *)&address, len), 0);
        *state = s;
        return 0;
}

static inline UNUSED void turn(struct ssh_service *s, int ms)
{
        uv_run(&s->loop.uv, UV_RUN_NOWAIT);
        sched_yield();
        if (ms > 0)
                loop_advance(&s->loop, &s->clock, MILLISECONDS(ms));
}

static inline UNUSED void turns(struct ssh_service *s, int n)
{
        while (n-- > 0)
                turn(s, 1);
}

static inline UNUSED void acknowledge_all(struct ssh_service *s, enum error_code code)
{
        size_t n = s->ack_count;

        s->ack_count = 0;
        for (size_t i = 0; i < n; i++)
                s->acks[i].acknowledged(s->acks[i].ctx, code == 0 ? NULL : error_new(code, "the connection is over"));
}

static inline UNUSED int tear_down(void **state)
{
        struct ssh_service *s = *state;

        helpers_close(s->helpers);
        if (s->program >= 0)
                close(s->program);
        if (s->decided != NULL)
                s->decided(s->decide_ctx, NULL, error_new(ERROR_CANCELLED, "it ends"));
        acknowledge_all(s, ERROR_CANCELLED);
        turns(s, 20);
        spool_close(s->spool);
        turns(s, 20);
        loop_release(&s->loop);
        assert_int_equal(s->connection.helpers, 0);
        test_dir_free(s->dir);
        for (struct buf *const bufs[] = { &s->reported, &s->received, &s->frames }, *const *b = bufs; b < bufs + ARRAY_LEN(bufs); b++)
                buf_release(*b);
        free(s);
        return 0;
}

/* ---- the program ------------------------------------------------------------------------------------------------ */

static inline UNUSED void send_message(struct ssh_service *s, const helper_up *up)
{
        AUTO(buf) frame = BUF_MAX(SESSION_FRAME_MAX);

        session_frame_put(&frame, &up->base);
        assert_int_equal(send(s->program, frame.ptr, frame.len, MSG_NOSIGNAL), frame.len);
        turns(s, 5);
}

static inline UNUSED void send_authorize(struct ssh_service *s)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Authorize authorize = CTELEPORT__SESSION__V1__AUTHORIZE__INIT;

        authorize.connection_id = pb_text(connection_id);
        authorize.login = "root";
        authorize.certificate = pb_bytes(STR("cert"));
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_AUTHORIZE;
        up.authorize = &authorize;
        send_message(s, &up);
}

static inline UNUSED void send_start(struct ssh_service *s, const char *kind, bool has_pty)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Start start = CTELEPORT__SESSION__V1__START__INIT;

        start.connection_id = pb_text(connection_id);
        start.kind = pb_text(kind);
        start.command = strcmp(kind, "shell") == 0 ? "" : "a command";
        start.has_pty = has_pty;
        start.columns = 80;
        start.rows = 24;
        start.term = "xterm";
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_START;
        up.start = &start;
        send_message(s, &up);
}

static inline UNUSED void send_output(struct ssh_service *s, struct str bytes)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Output output = CTELEPORT__SESSION__V1__OUTPUT__INIT;

        output.data = pb_bytes(bytes);
        output.input_bytes = 3;
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_OUTPUT;
        up.output = &output;
        send_message(s, &up);
}

static inline UNUSED void send_exit(struct ssh_service *s, int code)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Exit exit = CTELEPORT__SESSION__V1__EXIT__INIT;

        exit.code = code;
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_EXIT;
        up.exit = &exit;
        send_message(s, &up);
}

static inline UNUSED void send_resize(struct ssh_service *s, uint32_t columns)
{
        helper_up up = CTELEPORT__SESSION__V1__HELPER_UP__INIT;
        Cteleport__Session__V1__Resize resize = CTELEPORT__SESSION__V1__RESIZE__INIT;

        resize.columns = columns;
        resize.rows = 24;
        up.payload_case = CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_RESIZE;
        up.resize = &resize;
        send_message(s, &up);
}

static inline UNUSED void note(struct buf *received, const helper_down *down)
{
        switch (down->payload_case) {
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_PERMIT:
                buf_printf(received, "permits %u signed %.*s;", down->permit->permits, (int)down->permit->signature.len,
                           (const char *)down->permit->signature.data);
                break;
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_REFUSAL:
                buf_printf(received, "refusal: %s;", down->refusal->text);
                break;
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_APPROVAL:
                buf_printf(received, "go %s from %s%s;", down->approval->user, down->approval->client_addr, down->approval->is_recorded ? " recorded" : "");
                break;
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_END:
                buf_printf(received, "end: %s;", down->end->text);
                break;
        case CTELEPORT__SESSION__V1__HELPER_DOWN__PAYLOAD_NOTICE:
                buf_printf(received, "notice: %s;", down->notice->text);
                break;
        default:
                fail_msg("something strange was said");
        }
}

/* The messages that the program has received so far; "closed" at the end when the service has closed. */
static inline UNUSED const char *received(struct ssh_service *s)
{
        char bytes[4096];
        ssize_t n;

        turns(s, 5);
        while ((n = recv(s->program, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
                buf_put(&s->frames, str_of_bytes(bytes, (size_t)n));
        while (s->frames.len > 0) {
                AUTO_PTR(arena) arena = arena_new(SESSION_ARENA);
                ProtobufCMessage *msg = NULL;
                size_t len = 0;

                assert_null(session_frame_read(buf_str(&s->frames), &cteleport__session__v1__helper_down__descriptor, arena, &msg, &len));
                if (len == 0)
                        break;
                note(&s->received, (const helper_down *)msg);
                buf_consume(&s->frames, len);
        }
        if (n == 0 && !str_ends_with(buf_str(&s->received), STR("closed")))
                buf_put_c(&s->received, "closed");
        return buf_c(&s->received);
}

static inline UNUSED void check_passes(struct ssh_service *s)
{
        void (*checked)(void *ctx, struct error *err) = s->checked;

        assert_non_null(checked);
        assert_int_equal(s->checked_pid, getpid());
        s->checked = NULL;
        checked(s->check_ctx, NULL);
        turns(s, 5);
}

static Cteleport__V1__NodePermits permits; /* of the last decision */

static inline UNUSED decision_message a_decision(void)
{
        decision_message d = CTELEPORT__V1__REPORT_DECISION__INIT;

        d.is_allowed = true;
        d.node = &permits;
        cteleport__v1__node_permits__init(&permits);
        permits.pty = permits.file_copy = permits.port_forwarding = permits.agent_forwarding = true;
        d.user = "alice";
        permits.record = "best_effort";
        d.signature = pb_bytes(STR("by auth"));
        return d;
}

static inline UNUSED void decide(struct ssh_service *s, const decision_message *d)
{
        void (*decided)(void *ctx, const decision_message *decision, struct error *err) = s->decided;

        assert_non_null(decided);
        s->decided = NULL;
        decided(s->decide_ctx, d, NULL);
}

/* A running session on a terminal. */
static inline UNUSED void given_a_session(struct ssh_service *s, const decision_message *d)
{
        s->connection.decision = d;
        send_start(s, "shell", true);
        check_passes(s);
        acknowledge_all(s, 0);
        assert_string_equal(received(s), "go alice from 192.0.2.7:50122 recorded;");
        buf_clear(&s->received);
        buf_clear(&s->reported);
}

static inline UNUSED const char *reported(struct ssh_service *s)
{
        turns(s, 5);
        return buf_c(&s->reported);
}

static inline UNUSED void await_words(struct ssh_service *s)
{
        struct instant end = instant_add(clock_now(clock_system()), MINUTES(1));

        while (received(s)[0] == '\0' && clock_now(clock_system()).ns < end.ns)
                turn(s, 1);
}

#endif
