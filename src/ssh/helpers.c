/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that sshd started connect to the helpers socket. Every process of this machine can connect there, so the identity
 * of a client comes from the kernel and from the supervisor, which checks it:
 *
 *   receives ──▶ checked ──▶ requested ──────────────────────▶ closed         ssh-authorize, by a user of its own
 *                   │
 *                   └──▶ accepted? ──▶ reported ──▶ runs ──▶ ended ──▶ closed   ssh-session, by the user
 *
 * No program of the user runs before the cluster has stored the start of the session on disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/spool.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "loop/conversation.h"
#include "net/socket.h"
#include "pki/key.h"
#include "recording/recording.h"
#include "rpc/pb.h"
#include "session/wire.h"
#include "ssh/helper_policy.h"
#include "ssh/helper_messages.h"
#include "ssh/ssh.h"

typedef Cteleport__Session__V1__HelperUp helper_up;

enum state { RECEIVES, CHECKED, REQUESTED, ACCEPTED, REPORTED, RUNS, ENDED, CLOSED };

enum {
        ROOT = 0,
        ID_MAX = 37,
        TITLE_MAX = 256,
        UNKNOWN_OF_USER = LIMIT_HELPERS_UNKNOWN / 4, /* so that one user cannot use all connections */
        RECEIVED_AT_ONCE = 16 * KiB,
};
_Static_assert((int)SESSION_FRAME_LATER_MAX + (int)RECEIVED_AT_ONCE < LIMIT_SESSION_RECEIVED && (int)SESSION_OUTPUT_MAX + 512 < (int)SESSION_FRAME_LATER_MAX,
               "a message of a session's program fits");

struct helper {
        struct helper *next, **at;
        struct helpers *all;
        struct stream *stream;
        struct conversation state;
        uid_t uid;
        pid_t pid;
        int pidfd;                     /* of the process that connected, until it is checked; -1: none */
        struct connection *connection; /* NULL: not known yet, or gone */
        struct helper_check *check;
        struct arena *arena;           /* of `first` */
        const helper_up *first;        /* Authorize or Start */
        struct buf in;
        bool is_request_pending;       /* a callback of the connection is pending, so it must not be freed */
        bool is_left;                  /* closed, and no caller up the stack uses it any more */
        bool is_reported;                  /* ReportStart was sent */
        bool is_reported_again;            /* and sent again, because the answer was lost */
        struct timer *retry;           /* polls for the login line of sshd's log */

        char claimed_id[ID_MAX];       /* connection ID of `first`, stored when `first` is freed */
        char session_id[ID_MAX];
        const char *kind;
        bool is_strict;
        bool is_decided;               /* the cluster has allowed this session itself, with these options */
        int64_t idle_timeout_ms;
        struct spool_file *recording;
        uint64_t bytes_out, bytes_in;
        size_t files_unreported;
        struct timer *resize;
        struct instant resized;
        uint32_t columns, rows;
        bool has_resized;              /* not reported yet */
        int32_t code;
        char *signal, *reason;         /* of the session's end */
        const char *notice;            /* shown when the session begins, or NULL */
};

struct helpers {
        struct ssh_service *service;
        struct loop *loop;
        struct listener *listener;
        struct helper *first;
        struct instant unauthenticated_reported; /* time of the last log line about refused processes */
        size_t unauthenticated_unreported;       /* number refused since then */
        bool is_closing;
};

static const struct conversation_state states[] = {
        [RECEIVES] = { "reads its type", MILLISECONDS(TIMEOUT_HELPER_FIRST_MESSAGE), TO(CHECKED) | TO(CLOSED) },
        [CHECKED] = { "is checked", MILLISECONDS(TIMEOUT_HELPER_FIRST_MESSAGE), TO(REQUESTED) | TO(ACCEPTED) | TO(CLOSED) },
        [REQUESTED] = { "authorize", MILLISECONDS(TIMEOUT_SESSION_ANSWER), TO(CLOSED) },
        [ACCEPTED] = { "waits for sshd's confirmation", MILLISECONDS(TIMEOUT_HELPER_LOGIN_LINE), TO(REPORTED) | TO(CLOSED) },
        [REPORTED] = { "waits for the cluster", MILLISECONDS(TIMEOUT_SESSION_ANSWER), TO(RUNS) | TO(CLOSED) },
        [RUNS] = { "runs", { 0 }, TO(ENDED) | TO(CLOSED) },
        [ENDED] = { "ends", MILLISECONDS(TIMEOUT_HELPER_END), TO(CLOSED) },
        [CLOSED] = { "closed", { 0 }, 0 },
};

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static void helper_free(struct helper *h)
{
        struct helpers *all = h->all;

        *h->at = h->next;
        if (h->next != NULL)
                h->next->at = h->at;
        conversation_release(&h->state);
        timer_free(h->retry);
        timer_free(h->resize);
        fd_close_at(&h->pidfd);
        arena_free(h->arena);
        buf_release(&h->in);
        free(h->signal);
        free(h->reason);
        free(h);
        if (all->is_closing && all->first == NULL)
                free(all);
}

/* Frees a closed helper unless a callback is pending. */
static void free_if_left(struct helper *h)
{
        if (h->is_left && !h->is_request_pending && h->files_unreported == 0)
                helper_free(h);
}

static void on_left(void *ctx)
{
        struct helper *h = ctx;

        h->is_left = true;
        free_if_left(h);
}

/* Called by the callbacks of the connection: whether the helper is closed, so that the callback must do nothing. */
static bool is_over(struct helper *h)
{
        if (h->state.state != CLOSED)
                return false;
        free_if_left(h);
        return true;
}

static void report_exit(struct helper *h)
{
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        Cteleport__V1__ReportExit exit = CTELEPORT__V1__REPORT_EXIT__INIT;

        if (!h->is_reported || h->connection == NULL)
                return;
        exit.session_id = h->session_id;
        exit.code = h->code;
        exit.signal = h->signal == NULL ? pb_text("") : h->signal;
        exit.reason = h->reason == NULL ? pb_text("") : h->reason;
        exit.bytes_to_client = h->bytes_out;
        exit.bytes_from_client = h->bytes_in;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_EXIT;
        up.exit = &exit;
        connection_report(h->connection, &up, NULL, NULL);
}

/* Uploads the recording of a reported session, however short it is, and discards any other. */
static void release_recording(struct helper *h)
{
        struct spool_file *f = h->recording;

        h->recording = NULL;
        if (f == NULL)
                return;
        if (!h->is_reported) {
                spool_discard(f);
                return;
        }
        spool_publish(f);
        spool_finish(f);
}

/* The only function that closes a helper: reports how it ended, and releases all that it uses. */
static void helper_close(struct helper *h)
{
        if (h->state.state == CLOSED)
                return;
        metric_add_at(METRIC_SSH_SESSIONS, 0, h->state.state == RUNS || h->state.state == ENDED ? -1 : 0);
        conversation_enter(&h->state, CLOSED);
        timer_stop(h->retry);
        timer_stop(h->resize);
        helper_check_cancel(h->check);
        h->check = NULL;
        stream_close(h->stream); /* pending messages are still sent */
        h->stream = NULL;
        release_recording(h);
        report_exit(h);
        if (h->connection != NULL)
                connection_remove_helper(h->connection, h);
        h->connection = NULL;
        loop_defer(h->all->loop, on_left, h);
}

static void set_reason(struct helper *h, const char *why)
{
        if (h->reason == NULL)
                h->reason = mem_printf("%s", why);
}

/* The ID of the connection to which the program claims to belong. */
static const char *claimed_connection(const struct helper *h)
{
        if (h->first == NULL)
                return h->claimed_id;
        return h->first->payload_case == CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_AUTHORIZE ? h->first->authorize->connection_id
               : h->first->payload_case == CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_START   ? h->first->start->connection_id
                                                                                              : "";
}

/* Any account of this machine can connect at any rate, so the log has the first refusal, and a count of the others. */
static void log_unknown_program(struct helper *h, const char *why)
{
        struct helpers *all = h->all;
        struct instant now = loop_now(all->loop);

        if (all->unauthenticated_reported.ns != 0 && instant_since(now, all->unauthenticated_reported).ns < MILLISECONDS(PACE_HELPER_UNKNOWN_LOG).ns) {
                all->unauthenticated_unreported++;
                return;
        }
        log_warn("A process at the helpers' socket was not identified as one of our programs", LOG_INT("uid", h->uid), LOG_INT("pid", h->pid),
                 LOG_C("connection_id", claimed_connection(h)), LOG_C("reason", why), LOG_INT("others_before", (int64_t)all->unauthenticated_unreported));
        all->unauthenticated_reported = now;
        all->unauthenticated_unreported = 0;
}

static bool is_unauthenticated(const struct helper *h)
{
        return h->state.state <= CHECKED && h->connection == NULL;
}

static void refuse(struct helper *h, const char *why)
{
        if (!is_unauthenticated(h))
                log_info("A program of sshd was refused", LOG_C("connection_id", claimed_connection(h)), LOG_INT("uid", h->uid),
                         LOG_C("reason", why));
        h->code = 255;
        set_reason(h, why);
        helper_send_refusal(h->stream, why, is_unauthenticated(h));
        helper_close(h);
}

/* A process that was not identified as a program of sshd gets no other reason than that. */
static void refuse_unknown_program(struct helper *h, const char *why)
{
        log_unknown_program(h, why);
        refuse(h, "no program of sshd's");
}

/* Orders the program to end. The program reports how it ended, or is abandoned at the deadline. */
static void order_end(struct helper *h, const char *why)
{
        if (h->state.state == RUNS) {
                set_reason(h, why);
                conversation_enter(&h->state, ENDED);
                helper_send_end(h->stream, why);
                stream_read(h->stream, true);
        } else if (h->state.state < RUNS) {
                refuse(h, why);
        }
}

void helper_end(struct helper *h, struct str why)
{
        AUTO_MEM char *copy = str_dup(str_slice(why, 0, SESSION_TEXT_MAX));

        order_end(h, copy);
}

void helper_abandon(struct helper *h)
{
        h->code = 255;
        set_reason(h, "the session's program does not end");
        helper_close(h);
}

static void on_expired(void *ctx)
{
        struct helper *h = ctx;
        AUTO_MEM char *why = mem_printf("the session took too long: it %s", conversation_state_name(&h->state));

        if (h->state.state == ENDED) {
                h->code = 255;
                helper_close(h);
        } else if (is_unauthenticated(h)) {
                refuse_unknown_program(h, why);
        } else {
                refuse(h, why);
        }
}

/* ---- login decisions --------------------------------------------------------------------------------------------- */

static void on_decided(void *ctx, const Cteleport__V1__ReportDecision *decision, struct error *err)
{
        struct helper *h = ctx;
        AUTO_PTR(error) owned = err;

        h->is_request_pending = false;
        if (is_over(h))
                return;
        if (err != NULL || !decision->is_allowed) {
                refuse(h, err != NULL ? err->what : decision->reason);
                return;
        }
        helper_send_permit(h->stream, decision);
        helper_close(h);
}

static void send_request(struct helper *h)
{
        const Cteleport__Session__V1__Authorize *a = h->first->authorize;

        conversation_enter(&h->state, REQUESTED);
        h->is_request_pending = true;
        connection_request(h->connection, pb_str(a->certificate), str_of(a->login),
                       pb_str(a->nonce), on_decided, h);
}

/* ---- session decisions ----------------------------------------------------------------------------------------------- */

static void on_spool_failed(void *ctx, struct error *err)
{
        struct helper *h = ctx;
        AUTO_PTR(error) owned = err;
        AUTO_MEM char *why = mem_printf("recording stopped: %s", err->what);

        if (h->is_strict)
                order_end(h, why);
        else
                helper_send_unrecorded(h->stream, why);
        if (h->stream != NULL)
                stream_read(h->stream, true);
}

static struct error *begin_recording(struct helper *h, const Cteleport__V1__ReportDecision *d)
{
        const Cteleport__Session__V1__Start *start = h->first->start;
        char title[TITLE_MAX];
        struct recording_header header = {
                .columns = start->columns,
                .rows = start->rows,
                .started = loop_wall(h->all->loop),
                .term = str_of(start->term),
        };

        snprintf(title, sizeof title, "%s@%s", d->user, ssh_node_name(h->all->service));
        header.title = str_of(title);
        return spool_begin(ssh_spool(h->all->service), str_of(h->session_id), str_of(d->user), &header, on_spool_failed, h, &h->recording);
}

static void send_approval(struct helper *h, const Cteleport__V1__ReportDecision *d)
{
        const struct host_identity *id = ssh_identity(h->all->service);
        AUTO_MEM char *cluster = str_dup(id->cluster), *host_id = str_dup(id->host_id);
        AUTO_MEM char *client_addr = str_dup(connection_client_addr(h->connection));
        Cteleport__Session__V1__Approval approval = CTELEPORT__SESSION__V1__APPROVAL__INIT;

        approval.session_id = h->session_id;
        approval.user = d->user;
        approval.cluster = cluster;
        approval.host_id = host_id;
        approval.proxy_addr = pb_text(ssh_proxy_addr(h->all->service));
        approval.client_addr = client_addr;
        approval.is_recorded = h->recording != NULL;
        approval.idle_timeout_ms = h->is_decided ? h->idle_timeout_ms : d->idle_timeout_ms;
        helper_send_approval(h->stream, &approval);
}

bool helper_decided(struct helper *h, const Cteleport__V1__ReportDecision *decision)
{
        if (h->state.state != REPORTED || strcmp(h->session_id, decision->session_id) != 0)
                return false;
        if (!decision->is_allowed) {
                h->is_reported = h->is_reported_again; /* refused at first: the session never began, and leaves no record */
                refuse(h, decision->reason);
                return true;
        }
        h->is_decided = true;
        h->is_strict = strcmp(helper_permits(decision)->record, "strict") == 0;
        h->idle_timeout_ms = decision->idle_timeout_ms;
        return true;
}

static void report_start(struct helper *h);

static void on_drained(void *ctx)
{
        struct helper *h = ctx;

        if (h->stream != NULL && h->files_unreported < LIMIT_FILES_UNACKED)
                stream_read(h->stream, true);
}

/* Stops reading the program, and thus its terminal, while the disk is slower than the output. */
static void wait_if_due(struct helper *h)
{
        if (h->recording == NULL || !spool_must_wait(h->recording))
                return;
        stream_read(h->stream, false);
        spool_on_drain(h->recording, on_drained);
}

/* Frees the Start message: the command may be long, and a running session does not need it. */
static void forget_start(struct helper *h)
{
        snprintf(h->claimed_id, sizeof h->claimed_id, "%s", claimed_connection(h));
        arena_free(h->arena);
        h->arena = NULL;
        h->first = NULL;
}

/* The cluster has stored the start of the session, or has failed to. */
static void on_begun(void *ctx, struct error *err)
{
        struct helper *h = ctx;
        AUTO_PTR(error) owned = err;

        h->is_request_pending = false;
        if (is_over(h))
                return;
        const Cteleport__V1__ReportDecision *d = connection_decision(h->connection);
        if (err != NULL || d == NULL || !d->is_allowed) {
                refuse(h, err != NULL ? err->what : d == NULL ? "the connection is over" : d->reason);
                return;
        }
        if (d->decides_sessions && !h->is_decided && !h->is_reported_again) {
                /* The decision was lost. The audit log has the start, so it needs the session, or an end with a reason. */
                h->is_reported_again = true;
                report_start(h);
                return;
        }
        if (d->decides_sessions && !h->is_decided) {
                refuse(h, "the cluster's answer whether this session may begin was lost: try again");
                return;
        }
        conversation_enter(&h->state, RUNS);
        forget_start(h);
        if (h->recording != NULL)
                spool_publish(h->recording);
        wait_if_due(h);
        send_approval(h, d);
        if (h->notice != NULL)
                helper_send_unrecorded(h->stream, h->notice);
        metric_add_at(METRIC_SSH_SESSIONS, 0, 1);
        log_info("Session begins", LOG_C("session_id", h->session_id), LOG_C("user", d->user), LOG_C("kind", h->kind),
                 LOG_STR("from", connection_client_addr(h->connection)));
}

static void report_start(struct helper *h)
{
        const Cteleport__Session__V1__Start *start = h->first->start;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        Cteleport__V1__ReportStart begun = CTELEPORT__V1__REPORT_START__INIT;

        begun.session_id = h->session_id;
        begun.kind = pb_text(h->kind);
        begun.command = start->command;
        begun.has_pty = start->has_pty;
        begun.columns = start->columns;
        begun.rows = start->rows;
        begun.term = start->term;
        begun.is_recorded = h->recording != NULL;
        begun.wants_decision = true;
        begun.is_repeated = h->is_reported_again;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_START;
        up.start = &begun;
        if (!h->is_reported_again)
                conversation_enter(&h->state, REPORTED);
        h->is_reported = h->is_request_pending = true;
        connection_report(h->connection, &up, on_begun, h);
}

static void begin(struct helper *h, const Cteleport__V1__ReportDecision *d)
{
        AUTO(buf) id = BUF_MAX(ID_MAX);
        const char *why = helper_refusal_text(ssh_config(h->all->service), h->first->start, h->kind, d);

        random_uuid(&id);
        snprintf(h->session_id, sizeof h->session_id, "%s", buf_c(&id));
        if (why == NULL && h->first->start->has_pty && strcmp(helper_permits(d)->record, "off") != 0) {
                AUTO_PTR(error) err = begin_recording(h, d);

                h->is_strict = strcmp(helper_permits(d)->record, "strict") == 0;
                if (err != NULL)
                        log_warn("A session cannot be recorded", LOG_C("session_id", h->session_id), LOG_ERR(err));
                if (err != NULL && h->is_strict && !d->decides_sessions)
                        why = "this session must be recorded, and this node cannot record it now";
                else if (err != NULL)
                        h->notice = "this session is not recorded: this node cannot record it now";
        }
        if (why != NULL) {
                helper_report_rejected(h->connection, why);
                refuse(h, why);
                return;
        }
        report_start(h);
}

/* sshd reports the accepted login in its log, which may be read after the message of the program that it started. */
static void find_decision(void *ctx)
{
        struct helper *h = ctx;
        const Cteleport__V1__ReportDecision *d = connection_decision(h->connection);

        if (d != NULL)
                begin(h, d);
        else
                timer_start(h->retry, MILLISECONDS(PACE_HELPER_LOGIN_LINE));
}

/* ---- identification -------------------------------------------------------------------------------------------------------- */

static void on_checked(void *ctx, struct error *err)
{
        struct helper *h = ctx;
        AUTO_PTR(error) owned = err;

        h->check = NULL;
        if (err != NULL) {
                refuse_unknown_program(h, err->what);
                return;
        }
        h->connection = connection_find(h->all->service, str_of(claimed_connection(h)));
        if (h->connection == NULL) {
                refuse(h, "the connection is over");
                return;
        }
        connection_add_helper(h->connection, h);
        if (h->first->payload_case == CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_AUTHORIZE) {
                send_request(h);
                return;
        }
        connection_session_reported(h->connection);
        const char *ending = connection_why_ending(h->connection);
        if (ending != NULL) { /* a session of a shared connection that has just been ordered to end */
                refuse(h, ending);
                return;
        }
        h->kind = helper_kind(h->first->start->kind);
        conversation_enter(&h->state, ACCEPTED);
        find_decision(h);
}

/* Handles the first message, which states the program's request. */
static void introduce(struct helper *h, const helper_up *up)
{
        bool is_authorize = up->payload_case == CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_AUTHORIZE;

        h->first = up;
        bool is_wrong_user = is_authorize && h->uid != ssh_authorize_uid(h->all->service);
        if (is_wrong_user || connection_find(h->all->service, str_of(claimed_connection(h))) == NULL) {
                refuse_unknown_program(h, is_wrong_user ? "sshd runs ssh-authorize as another user" : "there is no such connection");
                return;
        }
        conversation_enter(&h->state, CHECKED);
        h->check = helper_check_start(h->all->service, str_of(claimed_connection(h)), h->pid, h->pidfd, on_checked, h);
        fd_close_at(&h->pidfd);
        h->pidfd = -1;
}

/* ---- running sessions ------------------------------------------------------------------------------------------------------ */

/* For all recordings together: only programs that were ordered to end are read until half of the waiting bytes are written. */
static void on_full(void *ctx, bool is_full)
{
        struct helpers *all = ctx;

        for (struct helper *h = all->first; h != NULL; h = h->next) {
                if (h->recording == NULL || h->state.state != RUNS)
                        continue;
                if (!is_full)
                        on_drained(h);
                wait_if_due(h);
        }
}

static void take_output(struct helper *h, const Cteleport__Session__V1__Output *output)
{
        h->bytes_out += output->data.len;
        h->bytes_in += output->input_bytes;
        if (h->recording == NULL)
                return;
        spool_output(h->recording, pb_str(output->data));
        wait_if_due(h);
}

static void report_resize(void *ctx)
{
        struct helper *h = ctx;
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        Cteleport__V1__ReportResize resize = CTELEPORT__V1__REPORT_RESIZE__INIT;

        if (!h->has_resized || h->connection == NULL)
                return;
        h->has_resized = false;
        h->resized = loop_now(h->all->loop);
        resize.session_id = h->session_id;
        resize.columns = h->columns;
        resize.rows = h->rows;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_RESIZE;
        up.resize = &resize;
        connection_report(h->connection, &up, NULL, NULL);
}

/* Dragging a window sends hundreds of sizes: the recording has all of them, the audit log the last of each second. */
static void take_resize(struct helper *h, const Cteleport__Session__V1__Resize *resize)
{
        h->columns = resize->columns;
        h->rows = resize->rows;
        h->has_resized = true;
        if (h->recording != NULL) {
                spool_resize(h->recording, resize->columns, resize->rows);
                wait_if_due(h);
        }
        if (instant_since(loop_now(h->all->loop), h->resized).ns >= MILLISECONDS(PACE_RESIZE_AUDIT).ns)
                report_resize(h);
        else if (!timer_is_running(h->resize))
                timer_start(h->resize, MILLISECONDS(PACE_RESIZE_AUDIT));
}

static void on_file_reported(void *ctx, struct error *err)
{
        struct helper *h = ctx;

        error_free(err);
        h->files_unreported--;
        if (!is_over(h) && h->stream != NULL && h->files_unreported == LIMIT_FILES_UNACKED / 2)
                stream_read(h->stream, true);
}

static void take_file(struct helper *h, const Cteleport__Session__V1__FileOperation *op)
{
        Cteleport__V1__ReportUp up = CTELEPORT__V1__REPORT_UP__INIT;
        Cteleport__V1__ReportFile file = CTELEPORT__V1__REPORT_FILE__INIT;

        file.session_id = h->session_id;
        file.action = op->action;
        file.path = op->path;
        file.target_path = op->target_path;
        file.flags = op->flags;
        file.bytes_read = op->bytes_read;
        file.bytes_written = op->bytes_written;
        file.error = op->error;
        up.payload_case = CTELEPORT__V1__REPORT_UP__PAYLOAD_FILE;
        up.file = &file;
        if (++h->files_unreported >= LIMIT_FILES_UNACKED)
                stream_read(h->stream, false);
        connection_report(h->connection, &up, on_file_reported, h);
}

static void take_exit(struct helper *h, const Cteleport__Session__V1__Exit *e)
{
        h->code = e->code;
        free(h->signal);
        h->signal = mem_printf("%s", e->signal);
        if (e->reason[0] != '\0')
                set_reason(h, e->reason);
        log_info("Session ends", LOG_C("session_id", h->session_id), LOG_INT("code", h->code), LOG_C("signal", h->signal),
                 LOG_C("reason", h->reason == NULL ? "" : h->reason));
        helper_close(h);
}

/* ---- frames ---------------------------------------------------------------------------------------------------------------- */

static void take_running(struct helper *h, const helper_up *up)
{
        switch (up->payload_case) {
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_OUTPUT:
                take_output(h, up->output);
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_RESIZE:
                take_resize(h, up->resize);
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_FILE:
                take_file(h, up->file);
                break;
        case CTELEPORT__SESSION__V1__HELPER_UP__PAYLOAD_EXIT:
                take_exit(h, up->exit);
                break;
        default:
                order_end(h, "the session's program sent an invalid message");
        }
}

/* Handles one message; false if it is not expected in this state. The first message stays in memory: it is the request. */
static bool take_message(struct helper *h, struct arena *arena, const helper_up *up)
{
        if (h->state.state == RECEIVES) {
                h->arena = arena;
                introduce(h, up);
                return true;
        }
        bool is_in_session = h->state.state == RUNS || h->state.state == ENDED;
        if (is_in_session)
                take_running(h, up);
        arena_free(arena);
        return is_in_session;
}

/* Reads one frame from the beginning of `in`; *ret_len is 0 if none is complete. */
static struct error *take_frame(struct helper *h, struct str in, size_t *ret_len)
{
        struct arena *arena = arena_new(SESSION_ARENA);
        ProtobufCMessage *msg = NULL;
        struct error *err = session_frame_read(in, &cteleport__session__v1__helper_up__descriptor, arena, &msg, ret_len);

        if (err == NULL && *ret_len == 0 && h->state.state != RECEIVES && in.len > SESSION_FRAME_LATER_MAX)
                err = error_new(ERROR_INVALID_ARGUMENT, "a message of a session is longer than it may be");
        if (err != NULL || *ret_len == 0)
                arena_free(arena);
        else if (!take_message(h, arena, (const helper_up *)msg))
                err = error_new(ERROR_INVALID_ARGUMENT, "it sent a message that was not expected");
        return err;
}

static void give_up(struct helper *h, struct error *err)
{
        if (is_unauthenticated(h))
                log_unknown_program(h, err->what);
        else
                log_warn("A program of sshd sent an invalid message", LOG_C("connection_id", claimed_connection(h)), LOG_INT("uid", h->uid),
                         LOG_INT("pid", h->pid), LOG_ERR(err));
        error_free(err);
        h->code = 255;
        set_reason(h, "the session's program sent an invalid message");
        helper_close(h);
}

static void on_read(void *ctx, struct str bytes)
{
        struct helper *h = ctx;
        size_t at = 0, len = 1;
        struct error *err = NULL;

        buf_put(&h->in, bytes); /* at most one incomplete frame and the bytes of one read */
        while (err == NULL && len > 0 && h->state.state != CLOSED) {
                err = take_frame(h, str_slice(buf_str(&h->in), at, h->in.len), &len);
                at += len;
        }
        buf_consume(&h->in, at);
        if (h->in.len == 0) {
                buf_release(&h->in); /* an idle session holds no memory */
                h->in = BUF_MAX(h->state.state == RECEIVES ? SESSION_FRAME_MAX + RECEIVED_AT_ONCE : LIMIT_SESSION_RECEIVED);
        }
        if (err != NULL && h->state.state != CLOSED)
                give_up(h, err);
        else
                error_free(err);
}

static void on_end(void *ctx, struct error *err)
{
        struct helper *h = ctx;

        error_free(err);
        h->code = 255;
        set_reason(h, "the session's program has ended");
        helper_close(h);
}

/* ---- the listener ---------------------------------------------------------------------------------------------------------- */

static bool is_unknown(const struct helper *h)
{
        return h->state.state <= CHECKED;
}

static size_t unknown_of(const struct helpers *all, uid_t uid)
{
        size_t n = 0;

        for (const struct helper *h = all->first; h != NULL; h = h->next)
                n += h->uid == uid && is_unknown(h);
        return n;
}

/* Root and the user of ssh-authorize: their connections have a limit of their own, so that no account can block logins. */
static bool has_own_limit(const struct helpers *all, uid_t uid)
{
        return uid == ROOT || uid == ssh_authorize_uid(all->service);
}

static size_t unknown_of_kind(const struct helpers *all, bool have_own_limit)
{
        size_t n = 0;

        for (const struct helper *h = all->first; h != NULL; h = h->next)
                n += is_unknown(h) && has_own_limit(all, h->uid) == have_own_limit;
        return n;
}

/* The connection that has waited longest, of the account that has most; NULL if no account has more than `most`. */
static struct helper *longest_of_largest_account(const struct helpers *all, size_t most)
{
        struct helper *found = NULL;

        for (struct helper *h = all->first; h != NULL; h = h->next) { /* newest first */
                size_t n = !is_unknown(h) || has_own_limit(all, h->uid) ? 0 : unknown_of(all, h->uid);

                if (n > most || (n == most && found != NULL && n > 0)) {
                        most = n;
                        found = h;
                }
        }
        return found;
}

/* Whether this account may connect once more. The connection may replace one of an account that has more connections. */
static bool make_room(struct helpers *all, uid_t uid)
{
        if (has_own_limit(all, uid))
                return unknown_of_kind(all, true) < LIMIT_HELPERS_UNKNOWN;
        size_t own = unknown_of(all, uid);
        if (own >= UNKNOWN_OF_USER)
                return false;
        if (unknown_of_kind(all, false) < LIMIT_HELPERS_UNKNOWN)
                return true;
        struct helper *h = longest_of_largest_account(all, own + 1);
        if (h != NULL)
                refuse_unknown_program(h, "others wait, and its account has the most connections");
        return h != NULL;
}

static const struct stream_events stream_events = { .on_read = on_read, .on_end = on_end };

static void on_accepted(void *ctx, int fd, const char *peer UNUSED)
{
        struct helpers *all = ctx;
        uid_t uid;
        gid_t gid;
        pid_t pid;
        AUTO_FD int pidfd = -1;
        struct error *failed = socket_peer_cred(fd, &uid, &gid, &pid);
        if (failed == NULL)
                failed = socket_peer_pidfd(fd, &pidfd);
        AUTO_PTR(error) err = failed;

        if (err != NULL || pid <= 0 || !make_room(all, uid)) {
                close(fd);
                return;
        }
        struct helper *h = NEW(struct helper);
        h->all = all;
        h->uid = uid;
        h->pid = pid;
        h->pidfd = pidfd;
        pidfd = -1;
        h->in = BUF_MAX(SESSION_FRAME_MAX + RECEIVED_AT_ONCE);
        h->retry = timer_new(all->loop, find_decision, h);
        h->resize = timer_new(all->loop, report_resize, h);
        h->next = all->first;
        h->at = &all->first;
        if (h->next != NULL)
                h->next->at = &h->next;
        all->first = h;
        conversation_init(&h->state, all->loop, states, RECEIVES, on_expired, h);
        h->stream = socket_stream(all->loop, fd);
        socket_stream_limit_reads(h->stream, RECEIVED_AT_ONCE);
        stream_listen(h->stream, &stream_events, h);
        stream_read(h->stream, true);
}

struct helpers *helpers_open(struct ssh_service *s, int fd)
{
        struct helpers *all = NEW(struct helpers);

        all->service = s;
        all->loop = ssh_loop(s);
        all->listener = listener_new(all->loop, fd, on_accepted, all);
        spool_on_full(ssh_spool(s), on_full, all);
        return all;
}

void helpers_close(struct helpers *all)
{
        if (all == NULL)
                return;
        listener_close(all->listener);
        spool_on_full(ssh_spool(all->service), NULL, NULL);
        for (struct helper *h = all->first; h != NULL; h = h->next) {
                h->code = 255;
                set_reason(h, "the SSH Service of this node ends");
                helper_close(h); /* freed by the loop; the last one also frees `all` */
        }
        all->is_closing = true;
        if (all->first == NULL)
                free(all);
}
