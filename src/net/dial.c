/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting to "host:port": resolve, then race the addresses with a head start for each (RFC 8305).
 *
 *     resolving ──▶ connecting (one attempt more every TIMEOUT_CONNECT_NEXT, or when one fails) ──▶ done
 *
 * The deadline covers all of it. The struct is freed after the last handle and request has finished.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/network.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/socket.h"
#include "net/watch.h"

struct attempt {
        struct dial *dial;
        uv_poll_t poll;
        struct sock_address address;
        int fd; /* -1 when the attempt is not running */
};

struct dial {
        struct loop *loop;
        void (*done)(void *ctx, int fd, struct error *err);
        void *ctx;
        char *target; /* "host:port" for messages */
        const struct watch *watch; /* NULL: none */
        bool (*permits)(const void *ctx, const struct ip_address *ip); /* NULL: all */
        const void *permits_ctx;
        struct duration within;
        struct timer *deadline, *next_one;
        uv_getaddrinfo_t lookup;
        struct attempt attempts[LIMIT_CONNECT_ADDRESSES];
        size_t count, started, open;
        struct error *failure; /* reason of the last failed attempt, or the error to report from the loop */
        unsigned refs;         /* one for the caller until done, one for each open handle and pending request */
        bool is_finished;      /* no more attempts are started */
};

static void dial_unref(struct dial *d)
{
        if (--d->refs > 0)
                return;
        error_free(d->failure);
        free(d->target);
        free(d);
}

/* ---- the end ------------------------------------------------------------------------------------------- */

static void on_attempt_closed(uv_handle_t *handle)
{
        struct attempt *a = handle->data;

        dial_unref(a->dial);
}

/* Ends the attempt without closing its descriptor, which it returns; the caller closes or uses it. */
static int attempt_end(struct attempt *a)
{
        int fd = a->fd;

        a->fd = -1;
        a->dial->open--;
        uv_close((uv_handle_t *)&a->poll, on_attempt_closed);
        return fd;
}

/* Stops all attempts; done has not been called yet. */
static void stop_trying(struct dial *d)
{
        d->is_finished = true;
        for (size_t i = 0; i < d->started; i++)
                if (d->attempts[i].fd >= 0)
                        close(attempt_end(&d->attempts[i]));
        timer_free(d->deadline);
        timer_free(d->next_one);
        d->deadline = d->next_one = NULL;
}

static void finish(struct dial *d, int fd, struct error *err)
{
        stop_trying(d);
        d->done(d->ctx, fd, err);
        dial_unref(d);
}

static void on_deadline(void *ctx)
{
        struct dial *d = ctx;

        if (d->count == 0) {
                finish(d, -1,
                       error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "the DNS server of this machine did not answer for %s within %lld ms", d->target,
                                            (long long)duration_ms(d->within)),
                                  "check the servers in /etc/resolv.conf; if `getent ahostsv4 NAME` answers at once, they do not answer for IPv6: "
                                  "add `options no-aaaa` there"));
                return;
        }
        finish(d, -1,
               error_hint(error_new(ERROR_DEADLINE_EXCEEDED, "no answer from %s within %lld ms", d->target,
                                    (long long)duration_ms(d->within)),
                          "check that the address is right and that firewalls and security groups let this machine "
                          "reach it"));
}

/* ---- connecting ---------------------------------------------------------------------------------------- */

static void start_next(struct dial *d);

static const char *connect_hint(int errnum)
{
        switch (errnum) {
        case ECONNREFUSED:
                return "is the service running there, and is it the right port?";
        case ENETUNREACH:
        case EHOSTUNREACH:
                return "check the network and the routes of this machine";
        default:
                return NULL;
        }
}

static void attempt_failed(struct dial *d, const struct sock_address *address, int errnum)
{
        char text[ADDRESS_TEXT_MAX];
        const char *hint = connect_hint(errnum);

        sock_address_text(address, text);
        error_free(d->failure);
        if (str_equal(str_of(text), str_of(d->target)))
                d->failure = error_errno(errnum, "cannot connect to %s", d->target);
        else
                d->failure = error_errno(errnum, "cannot connect to %s (%s)", d->target, text);
        if (hint != NULL)
                d->failure = error_hint(d->failure, "%s", hint);
        start_next(d);
}

/* With the reason why the addresses before it did not work, if there is one. */
static void report_connected(const struct attempt *a)
{
        const struct dial *d = a->dial;
        char text[ADDRESS_TEXT_MAX];

        if (d->watch == NULL)
                return;
        sock_address_text(&a->address, text);
        AUTO_MEM char *detail = d->failure == NULL ? mem_printf("connected to %s", text)
                                                   : mem_printf("connected to %s, but %s", text, d->failure->what);
        watch_report(d->watch, WATCH_TCP, detail);
}

static void on_connected(uv_poll_t *poll, int status, int events)
{
        struct attempt *a = poll->data;
        int errnum = 0;
        socklen_t len = sizeof errnum;

        (void)status; /* libuv reports only that an error occurred; SO_ERROR has its number */
        (void)events;
        if (getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) != 0)
                errnum = errno;
        int fd = attempt_end(a);
        if (errnum != 0) {
                close(fd);
                attempt_failed(a->dial, &a->address, errnum);
                return;
        }
        socket_set_tcp_options(fd);
        report_connected(a);
        finish(a->dial, fd, NULL);
}

/* Starts to connect; returns 0 or the errno of an immediate failure. */
static int attempt_start(struct attempt *a)
{
        int fd = socket(a->address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int status;

        if (fd < 0)
                return errno;
        if (connect(fd, (const struct sockaddr *)&a->address.storage, a->address.len) != 0 && errno != EINPROGRESS) {
                int errnum = errno;

                close(fd);
                return errnum;
        }
        status = uv_poll_init(&a->dial->loop->uv, &a->poll, fd);
        if (status < 0) {
                close(fd);
                return -status;
        }
        a->fd = fd;
        a->poll.data = a;
        a->dial->refs++;
        a->dial->open++;
        status = uv_poll_start(&a->poll, UV_WRITABLE, on_connected);
        if (status < 0)
                bug("uv_poll_start: %s", uv_strerror(status));
        return 0;
}

/* Tries the next address, or reports the last failure when no address is left and no attempt is running. */
static void start_next(struct dial *d)
{
        if (d->started < d->count) {
                struct attempt *a = &d->attempts[d->started++];

                a->dial = d;
                a->fd = -1;
                int errnum = attempt_start(a);
                if (errnum != 0) {
                        attempt_failed(d, &a->address, errnum); /* recursion: at most `count` deep */
                        return;
                }
                if (d->started < d->count)
                        timer_start(d->next_one, MILLISECONDS(TIMEOUT_CONNECT_NEXT));
        } else if (d->open == 0) {
                struct error *err = d->failure;

                d->failure = NULL;
                finish(d, -1, err);
        }
}

static void on_next_one(void *ctx)
{
        struct dial *d = ctx;

        if (d->started < d->count)
                start_next(d);
}

/* ---- resolving ----------------------------------------------------------------------------------------- */

/* The addresses in the resolver's order, with the address families interleaved (RFC 8305 section 4). */
static void take_addresses(struct dial *d, const struct addrinfo *list)
{
        const struct addrinfo *first = list, *other = list;
        int family = list->ai_family;

        while (d->count < LIMIT_CONNECT_ADDRESSES) {
                const struct addrinfo **from;

                while (first != NULL && first->ai_family != family)
                        first = first->ai_next;
                while (other != NULL && other->ai_family == family)
                        other = other->ai_next;
                if (first == NULL && other == NULL)
                        return;
                from = first != NULL && (d->count % 2 == 0 || other == NULL) ? &first : &other;
                if ((*from)->ai_addrlen <= sizeof(struct sockaddr_storage)) {
                        struct sock_address *address = &d->attempts[d->count++].address;

                        memcpy(&address->storage, (*from)->ai_addr, (*from)->ai_addrlen);
                        address->len = (*from)->ai_addrlen;
                }
                *from = (*from)->ai_next;
        }
}

static struct ip_address ip_of(const struct sock_address *a)
{
        if (a->storage.ss_family == AF_INET)
                return ip_of_bytes((const uint8_t *)&((const struct sockaddr_in *)&a->storage)->sin_addr, IPV4_SIZE);
        return ip_of_bytes((const uint8_t *)&((const struct sockaddr_in6 *)&a->storage)->sin6_addr, IPV6_SIZE);
}

/* Removes the addresses that are not permitted; begins with the first of the others. */
static void start_permitted(struct dial *d)
{
        size_t kept = 0;

        for (size_t i = 0; i < d->count; i++) {
                struct ip_address ip = ip_of(&d->attempts[i].address);

                if (d->permits == NULL || d->permits(d->permits_ctx, &ip))
                        d->attempts[kept++].address = d->attempts[i].address;
        }
        d->count = kept;
        if (kept > 0)
                start_next(d);
        else
                finish(d, -1, error_new(ERROR_PERMISSION_DENIED, "the address of %s is not permitted", d->target));
}

static void report_addresses(const struct dial *d)
{
        AUTO(buf) list = BUF_MAX(LIMIT_CONNECT_ADDRESSES * (ADDRESS_TEXT_MAX + 2));
        char text[ADDRESS_TEXT_MAX];

        if (d->watch == NULL)
                return;
        for (size_t i = 0; i < d->count; i++) {
                sock_address_text(&d->attempts[i].address, text);
                buf_printf(&list, "%s%s", i == 0 ? "" : ", ", text);
        }
        watch_report(d->watch, WATCH_DNS, buf_c(&list));
        watch_report(d->watch, WATCH_TCP, NULL);
}

static void on_resolved(uv_getaddrinfo_t *lookup, int status, struct addrinfo *list)
{
        struct dial *d = lookup->data;

        if (!d->is_finished) {
                if (status == 0 && list != NULL)
                        take_addresses(d, list);
                if (d->count > 0) {
                        report_addresses(d);
                        start_permitted(d);
                } else {
                        finish(d, -1,
                               error_hint(error_new(ERROR_UNAVAILABLE, "cannot find the address of %s: %s", d->target,
                                                    status < 0 ? uv_strerror(status) : "the name has none"),
                                          "check the name and this machine's DNS settings"));
                }
        }
        uv_freeaddrinfo(list);
        dial_unref(d);
}

/* A uv_getaddrinfo() request: libuv keeps slow lookups from occupying every thread of the pool. */
static struct error *resolve(struct dial *d, struct str host, int port)
{
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
        AUTO_MEM char *name = str_dup(host);
        AUTO_MEM char *service = mem_printf("%d", port);

        d->lookup.data = d;
        int status = uv_getaddrinfo(&d->loop->uv, &d->lookup, on_resolved, name, service, &hints);
        if (status < 0)
                return error_new(ERROR_UNAVAILABLE, "cannot look up %s: %s", d->target, uv_strerror(status));
        d->refs++;
        return NULL;
}

/* ---- public functions ---------------------------------------------------------------------------------- */

static void begin_with_literal(void *ctx)
{
        struct dial *d = ctx;

        if (!d->is_finished)
                start_permitted(d);
        dial_unref(d);
}

/* Reports d->failure to the owner, from the loop. */
static void report(void *ctx)
{
        struct dial *d = ctx;
        struct error *err = d->failure;

        d->failure = NULL;
        d->done(d->ctx, -1, err);
        dial_unref(d);
}

static void fail_soon(struct dial *d, struct error *err)
{
        stop_trying(d);
        error_free(d->failure);
        d->failure = err;
        loop_defer(d->loop, report, d);
}

static struct error *begin(struct dial *d, struct str address)
{
        struct str host;
        int port;

        TRY(address_split(address, -1, &host, &port));
        if (port == 0)
                return error_new(ERROR_INVALID_ARGUMENT, "cannot connect to port 0");
        if (!sock_address_of_literal(host, port, &d->attempts[0].address))
                return resolve(d, host, port);
        d->count = 1;
        d->refs++;
        loop_defer(d->loop, begin_with_literal, d);
        return NULL;
}

struct dial *dial_start(struct loop *l, struct str address, struct duration within,
                        void (*done)(void *ctx, int fd, struct error *err), void *ctx)
{
        struct dial *d = NEW(struct dial);

        d->loop = l;
        d->done = done;
        d->ctx = ctx;
        d->target = escaped(address);
        d->within = within;
        d->refs = 1;
        d->deadline = timer_new(l, on_deadline, d);
        d->next_one = timer_new(l, on_next_one, d);
        timer_start(d->deadline, within);
        struct error *err = begin(d, address);
        if (err != NULL)
                fail_soon(d, err);
        return d;
}

void dial_permit(struct dial *d, bool (*permits)(const void *ctx, const struct ip_address *ip), const void *ctx)
{
        d->permits = permits;
        d->permits_ctx = ctx;
}

void dial_watch(struct dial *d, const struct watch *w)
{
        d->watch = w;
        watch_report(w, d->count == 0 ? WATCH_DNS : WATCH_TCP, NULL); /* an address needs no lookup */
}

void dial_cancel(struct dial *d)
{
        if (d->is_finished) /* done is already due */
                return;
        fail_soon(d, error_new(ERROR_CANCELLED, "connecting to %s was given up", d->target));
}
