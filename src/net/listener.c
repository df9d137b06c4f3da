/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening sockets: opens them and accepts connections, even when the process has run out of descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/socket.h"

/* ---- opening ------------------------------------------------------------------------------------------- */

/* The socket address of a listen address. */
static struct error *listen_address(struct str address, struct sock_address *ret, bool *ret_is_any)
{
        struct str host = { 0 };
        int port;

        *ret_is_any = str_starts_with(address, STR(":"));
        if (*ret_is_any) {
                int64_t number;

                TRY(parse_int(str_slice(address, 1, address.len), 0, 65535, "port", &number));
                port = (int)number;
                host = STR("::");
        } else {
                TRY(address_split(address, -1, &host, &port));
        }
        if (str_equal(host, STR("localhost")))
                host = STR("127.0.0.1");
        if (sock_address_of_literal(host, port, ret))
                return NULL;
        return error_hint(error_new(ERROR_INVALID_ARGUMENT, "cannot listen on '%.*s': it is a name", STR_ARG(host)),
                          "write the IP address of an interface, or 0.0.0.0 for all");
}

static const char *listen_hint(int errnum)
{
        switch (errnum) {
        case EADDRINUSE:
                return "another program listens there; 'ss -ltnp' shows which";
        case EACCES:
                return "ports below 1024 need root or CAP_NET_BIND_SERVICE";
        case EADDRNOTAVAIL:
                return "no interface of this machine has that address; 0.0.0.0 stands for all";
        default:
                return NULL;
        }
}

/* Binds and listens; on failure returns no socket and sets errno. */
static int listen_on(const struct sock_address *a)
{
        const int on = 1, off = 0;
        int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (a->storage.ss_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, (const struct sockaddr *)&a->storage, a->len) == 0 && listen(fd, SOMAXCONN) == 0)
                return fd;
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
}

struct error *socket_listen_tcp(struct str address, int *ret_fd, char *ret_address)
{
        struct sock_address a, bound = { .len = sizeof bound.storage };
        bool is_any;

        TRY(listen_address(address, &a, &is_any));
        int fd = listen_on(&a);
        if (fd < 0 && is_any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
                /* The machine has no IPv6: bind all IPv4 addresses. */
                struct sockaddr_in6 v6;

                memcpy(&v6, &a.storage, sizeof v6);
                if (sock_address_of_literal(STR("0.0.0.0"), ntohs(v6.sin6_port), &a))
                        fd = listen_on(&a);
        }
        if (fd < 0) {
                int errnum = errno;
                struct error *err = error_errno(errnum, "cannot listen on %.*s", STR_ARG(address));
                const char *hint = listen_hint(errnum);

                return hint == NULL ? err : error_hint(err, "%s", hint);
        }
        if (getsockname(fd, (struct sockaddr *)&bound.storage, &bound.len) != 0)
                bound = a;
        sock_address_text(&bound, ret_address);
        *ret_fd = fd;
        return NULL;
}

/* ---- accepting ----------------------------------------------------------------------------------------- */

struct listener {
        struct loop *loop;
        uv_poll_t poll;
        struct timer *pause;
        struct timer *trim;
        void (*accepted)(void *ctx, int fd, const char *peer);
        void *ctx;
        int fd;
        int spare; /* reserved for the case that descriptors run out; -1 while it is in use */
        bool is_closed;
};

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void accept_again(struct listener *li)
{
        int status = uv_poll_start(&li->poll, UV_READABLE, on_acceptable);

        if (status < 0)
                bug("uv_poll_start: %s", uv_strerror(status));
}

static void keep_spare(struct listener *li)
{
        if (li->spare < 0)
                li->spare = fcntl(li->fd, F_DUPFD_CLOEXEC, 0);
}

static void on_pause_over(void *ctx)
{
        struct listener *li = ctx;

        keep_spare(li);
        accept_again(li);
}

/*
 * Out of descriptors: a connection left in the kernel's queue would get no answer and would wake the loop
 * again and again, so the spare descriptor is closed to accept and close one; then accepting pauses.
 */
static void drop_caller(struct listener *li)
{
        if (li->spare >= 0) {
                close(li->spare);
                li->spare = -1;
                int fd = accept4(li->fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd >= 0)
                        close(fd);
                keep_spare(li);
        }
        uv_poll_stop(&li->poll);
        timer_start(li->pause, MILLISECONDS(TIMEOUT_ACCEPT_PAUSE));
}

/* Returns memory freed by finished handshakes to the system. */
static void on_trim(void *ctx)
{
        (void)ctx;
        malloc_trim(0);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
        struct listener *li = poll->data;

        (void)events;
        if (status < 0) { /* libuv has stopped polling */
                timer_start(li->pause, MILLISECONDS(TIMEOUT_ACCEPT_PAUSE));
                return;
        }
        for (int i = 0; i < LIMIT_ACCEPT_BATCH && !li->is_closed; i++) {
                struct sock_address peer = { .len = sizeof peer.storage };
                char text[ADDRESS_TEXT_MAX];
                int fd = accept4(li->fd, (struct sockaddr *)&peer.storage, &peer.len, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd >= 0) {
                        if (peer.storage.ss_family == AF_INET || peer.storage.ss_family == AF_INET6)
                                socket_set_tcp_options(fd);
                        sock_address_text(&peer, text);
                        if (!timer_is_running(li->trim))
                                timer_start(li->trim, MILLISECONDS(PACE_MEMORY_TRIM));
                        li->accepted(li->ctx, fd, text);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                        drop_caller(li);
                        return;
                } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
                        return;
                }
                /* Any other error (ECONNABORTED, EPROTO …) concerns that one connection. */
        }
}

struct listener *listener_new(struct loop *l, int fd, void (*accepted)(void *ctx, int fd, const char *peer), void *ctx)
{
        struct listener *li = NEW(struct listener);

        li->loop = l;
        li->accepted = accepted;
        li->ctx = ctx;
        li->fd = fd;
        li->spare = -1;
        int status = uv_poll_init(&l->uv, &li->poll, fd);
        if (status < 0)
                bug("descriptor %d cannot be watched: %s", fd, uv_strerror(status));
        li->poll.data = li;
        li->pause = timer_new(l, on_pause_over, li);
        li->trim = timer_new(l, on_trim, li);
        timer_unref(li->trim);
        keep_spare(li);
        accept_again(li);
        return li;
}

static void on_listener_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void listener_close(struct listener *li)
{
        if (li == NULL)
                return;
        li->is_closed = true;
        timer_free(li->pause);
        timer_free(li->trim);
        uv_close((uv_handle_t *)&li->poll, on_listener_closed);
        close(li->fd);
        if (li->spare >= 0)
                close(li->spare);
}
