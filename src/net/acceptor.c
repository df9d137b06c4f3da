/* SPDX-License-Identifier: Apache-2.0 */
#include "net/acceptor.h"

#include <stdio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "loop/loop.h"

/* ---- the list ------------------------------------------------------------------------------------------- */

static void list(struct acceptor *ac, struct accepted *a)
{
        a->acceptor = ac;
        a->next = ac->newest;
        a->at = &ac->newest;
        if (a->next != NULL)
                a->next->at = &a->next;
        ac->newest = a;
}

/* Releases the acceptor's state of a record that may still be in BEGIN. */
static void release_begin(struct accepted *a)
{
        timer_free(a->deadline);
        a->deadline = NULL;
        buf_release(&a->begin);
}

void accepted_uncount(struct accepted *a)
{
        admission_leave(&a->admitted);
}

static void report_if_empty(struct acceptor *ac)
{
        if (ac->is_draining && ac->newest == NULL)
                loop_defer(ac->loop, ac->events->empty, ac->ctx);
}

void accepted_release(struct accepted *a)
{
        struct acceptor *ac = a->acceptor;

        accepted_uncount(a);
        release_begin(a);
        stream_close(a->stream);
        a->stream = NULL;
        if (ac == NULL)
                return;
        if (ac->next_to_finish == a)
                ac->next_to_finish = a->next;
        *a->at = a->next;
        if (a->next != NULL)
                a->next->at = a->at;
        a->acceptor = NULL;
        report_if_empty(ac);
}

bool acceptor_is_empty(const struct acceptor *ac)
{
        return ac->newest == NULL;
}

/* ---- ends ----------------------------------------------------------------------------------------------- */

void accepted_end(struct accepted *a, struct error *err)
{
        if (a->handshake == NULL) {
                a->acceptor->events->failed(a, err);
                return;
        }
        error_free(err);
        tls_cancel(a->handshake);
}

static void end(struct accepted *a, enum error_code code, const char *why)
{
        if (a->step == ACCEPTED_SERVED)
                a->acceptor->events->end(a);
        else
                accepted_end(a, error_new(code, "%s", why));
}

/* ---- counting ------------------------------------------------------------------------------------------- */

static void end_for_another(void *ctx, struct admitted *admitted)
{
        (void)ctx;
        end(CONTAINER_OF(admitted, struct accepted, admitted), ERROR_RESOURCE_EXHAUSTED, "closed in favour of another connection");
}

static bool may_end(void *ctx, const struct admitted *admitted)
{
        (void)ctx;
        return !admitted->is_fixed;
}

void acceptor_init(struct acceptor *ac)
{
        ac->admission = (struct admission){
                .loop = ac->loop,
                .sources = ac->sources,
                .counter = SOURCE_CONNECTIONS,
                .end = end_for_another,
                .may_end = may_end,
        };
}

/* Counts it for `peer`. is_exempt: only the total applies, not the limit of a source. */
static struct error *count(struct acceptor *ac, struct accepted *a, const char *peer, bool is_exempt)
{
        snprintf(a->peer, sizeof a->peer, "%s", peer);
        a->admitted.is_exempt = is_exempt;
        if (admission_enter(&ac->admission, &a->admitted, a->peer) == ADMISSION_GRANTED)
                return NULL;
        return error_new(ERROR_RESOURCE_EXHAUSTED, "too many connections are open");
}

struct error *accepted_move(struct accepted *a, const char *peer)
{
        accepted_uncount(a);
        return count(a->acceptor, a, peer, false);
}

struct error *accepted_end_exemption(struct accepted *a)
{
        char peer[ADDRESS_TEXT_MAX];

        if (!a->admitted.is_exempt)
                return NULL;
        snprintf(peer, sizeof peer, "%s", a->peer);
        return accepted_move(a, peer);
}

/* ---- the handshake -------------------------------------------------------------------------------------- */

static void on_tls(void *ctx, struct stream *tls, struct error *err)
{
        struct accepted *a = ctx;
        const struct acceptor_events *events = a->acceptor->events;

        a->handshake = NULL;
        if (err != NULL) {
                events->failed(a, err);
                return;
        }
        a->step = ACCEPTED_SERVED;
        events->served(a, tls);
}

void accepted_start_tls(struct accepted *a, struct tls_context *tls, size_t skip)
{
        struct acceptor *ac = a->acceptor;
        struct stream *lower = accepted_take_stream(a, skip);

        a->step = ACCEPTED_HANDSHAKE;
        accepted_limit_reads(a, LOOP_BUFFER);
        a->handshake = tls_start(ac->loop, tls, lower, NULL, ac->timeout, on_tls, a);
}

/* ---- the first bytes ------------------------------------------------------------------------------------ */

struct stream *accepted_take_stream(struct accepted *a, size_t skip)
{
        struct stream *s = a->stream;
        struct str rest = str_slice(buf_str(&a->begin), skip, a->begin.len);

        stream_read(s, false);
        if (!str_is_empty(rest))
                s = stream_with_prefix(a->acceptor->loop, s, rest);
        a->stream = NULL;
        a->step = ACCEPTED_SERVED;
        release_begin(a);
        return s;
}

void accepted_hold(struct accepted *a)
{
        stream_read(a->stream, false);
        timer_stop(a->deadline);
}

void accepted_limit_reads(struct accepted *a, size_t most)
{
        if (a->socket != NULL)
                socket_stream_limit_reads(a->socket, most);
}

/* err (owned): why it is not counted; the connection is ended then, and the result is false. */
static bool is_counted(struct accepted *a, struct error *err)
{
        if (err != NULL)
                accepted_end(a, err);
        return err == NULL;
}

/*
 * Removes the header of a load balancer from the first bytes, and counts the connection for the client that it announces.
 * False: more bytes are needed, or the connection was ended.
 */
static bool read_header(struct accepted *a)
{
        const struct ingress *in = a->acceptor->ingress;
        enum ingress_decision decision;
        char client[ADDRESS_TEXT_MAX];
        size_t skip;
        struct error *err = ingress_read(in, a->peer, a->is_own, buf_str(&a->begin), &decision, client, &skip);

        if (err != NULL) {
                log_warn("A connection was refused", LOG_C("peer", a->peer), LOG_ERR(err));
                accepted_end(a, err);
                return false;
        }
        if (decision == INGRESS_MORE)
                return false;
        a->may_have_header = false;
        buf_consume(&a->begin, skip);
        if (decision == INGRESS_CLIENT) {
                log_debug("A load balancer announced a client", LOG_C("peer", client), LOG_C("load_balancer", a->peer));
                return is_counted(a, accepted_move(a, client));
        }
        return in->trusts_forwarded_for || is_counted(a, accepted_end_exemption(a));
}

static void on_begin(void *ctx, struct str bytes)
{
        struct accepted *a = ctx;

        if (!a->may_have_header && a->begin.len >= a->acceptor->begin_max) {
                accepted_end(a, error_new(ERROR_INVALID_ARGUMENT, "the first %zu bytes do not name a supported protocol", a->begin.len));
                return;
        }
        buf_put(&a->begin, bytes);
        if (a->may_have_header && !read_header(a))
                return;
        if (a->begin.len > 0)
                a->acceptor->events->begun(a, buf_str(&a->begin));
}

static void on_begin_end(void *ctx, struct error *err)
{
        accepted_end(ctx, err == NULL ? error_new(ERROR_UNAVAILABLE, "the connection ended") : err);
}

static void on_silence(void *ctx)
{
        accepted_end(ctx, error_new(ERROR_DEADLINE_EXCEEDED, "the peer sent nothing"));
}

static const struct stream_events begin_events = { .on_read = on_begin, .on_end = on_begin_end };

static void begin(struct accepted *a, struct stream *s)
{
        struct acceptor *ac = a->acceptor;

        a->step = ACCEPTED_BEGIN;
        a->stream = s;
        if (ac->begin_read > 0)
                accepted_limit_reads(a, ac->begin_read);
        a->begin = BUF_MAX(ac->begin_max + LIMIT_PROXY_HEADER + LOOP_BUFFER);
        a->deadline = timer_new(ac->loop, on_silence, a);
        timer_start(a->deadline, ac->timeout);
        stream_listen(s, &begin_events, a);
        stream_read(s, true);
}

/* ---- accepting ------------------------------------------------------------------------------------------ */

/* Creates a record for a connection of `peer`, counted and listed; NULL: refused. is_exempt: see count(). */
static struct accepted *admit(struct acceptor *ac, const char *peer, bool is_exempt)
{
        if (ac->is_draining)
                return NULL;
        struct accepted *a = ac->events->open(ac->ctx);
        struct error *err = count(ac, a, peer, is_exempt);
        if (err != NULL) {
                ac->events->failed(a, err);
                return NULL;
        }
        list(ac, a);
        return a;
}

static void on_accepted(void *ctx, int fd, const char *peer)
{
        const struct acceptor_port *port = ctx;
        struct acceptor *ac = port->acceptor;
        bool is_announcer = ac->ingress != NULL && ingress_announces(ac->ingress, peer);
        struct accepted *a = admit(ac, peer, is_announcer);

        if (a == NULL) {
                close(fd);
                return;
        }
        a->port = (size_t)(port - ac->ports);
        a->is_private = address_is_private(peer);
        a->may_have_header = ac->ingress != NULL;
        a->is_own = is_announcer && socket_is_own(fd, peer);
        a->socket = socket_stream(ac->loop, fd);
        begin(a, a->socket);
}

struct accepted *acceptor_give(struct acceptor *ac, struct stream *s, const char *peer, struct accepted *carrier)
{
        if (carrier != NULL)
                accepted_uncount(carrier);
        struct accepted *a = admit(ac, peer, false);

        if (a == NULL) {
                stream_close(s);
                return NULL;
        }
        if (carrier != NULL) {
                a->is_carried = true;
                a->socket = carrier->socket;
                carrier->socket = NULL;
        }
        begin(a, s);
        return a;
}

void acceptor_adopt(struct acceptor *ac, struct accepted *a, const char *peer)
{
        snprintf(a->peer, sizeof a->peer, "%s", peer);
        a->step = ACCEPTED_SERVED;
        list(ac, a);
}

void acceptor_listen(struct acceptor *ac, int fd)
{
        struct acceptor_port *port = &ac->ports[ac->port_count];

        if (ac->port_count++ == ACCEPTOR_PORTS_MAX)
                bug("an acceptor listens on more than %d sockets", ACCEPTOR_PORTS_MAX);
        port->acceptor = ac;
        port->listener = listener_new(ac->loop, fd, on_accepted, port);
}

/* ---- draining ------------------------------------------------------------------------------------------- */

void acceptor_stop_listening(struct acceptor *ac)
{
        for (size_t i = 0; i < ac->port_count; i++) {
                listener_close(ac->ports[i].listener);
                ac->ports[i].listener = NULL;
        }
}

/* Ends or drains each record; when the last is released, empty() is due. Ending one may release others. */
static void finish(struct acceptor *ac, bool is_drain)
{
        ac->is_draining = true;
        report_if_empty(ac);
        for (struct accepted *a = ac->newest; a != NULL; a = ac->next_to_finish) {
                ac->next_to_finish = a->next;
                if (is_drain && a->step == ACCEPTED_SERVED)
                        ac->events->drain(a);
                else
                        end(a, ERROR_UNAVAILABLE, "stopping");
        }
}

void acceptor_drain(struct acceptor *ac)
{
        finish(ac, true);
}

void acceptor_stop(struct acceptor *ac)
{
        finish(ac, false);
}
