/* SPDX-License-Identifier: Apache-2.0 */
#include "client/host_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "loop/loop.h"
#include "net/socket.h"
#include "os/process_stat.h"

enum { QUERY_MAX = 2 * KiB, ID_MAX = 64, CLIENTS_MAX = 8 };

const char *host_answer_query(struct arena *a, const char *proxy, const char *cluster, const char *user, const char *target)
{
        return arena_printf(a, "%s %s %s %s\n", proxy == NULL ? "" : proxy, cluster == NULL ? "" : cluster, user == NULL ? "" : user, target);
}

/* ---- the socket ------------------------------------------------------------------------------------------------ */

/* False when the parent ssh of this process cannot be determined. */
static bool address_of(struct sockaddr_un *ret, socklen_t *ret_len)
{
        AUTO(buf) name = BUF_MAX(sizeof ret->sun_path - 1);
        pid_t parent = getppid();
        struct process_stat its;

        if (parent <= 1)
                return false;
        if (!process_stat_read(parent, &its))
                return false;
        buf_printf(&name, "tsh-host-%ld-%ld-%llu", (long)geteuid(), (long)parent, (unsigned long long)its.started);
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret->sun_path + 1, name.ptr, name.len);
        *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + name.len);
        return true;
}

static bool is_own(int fd)
{
        uid_t uid = (uid_t)-1;
        gid_t gid;
        pid_t pid;
        AUTO_PTR(error) unknown = socket_peer_cred(fd, &uid, &gid, &pid);

        return unknown == NULL && uid == geteuid();
}

/* ---- the ProxyCommand ------------------------------------------------------------------------------------------- */

struct client {
        struct client *next;
        struct host_answer *all;
        struct stream *stream;
        struct buf in;
};

struct host_answer {
        struct loop *loop;
        struct listener *listener;
        struct client *clients;
        size_t client_count;
        char *query;
        bool is_known; /* the answer */
        char host_id[ID_MAX + 2];
};

static void drop(struct client *c)
{
        struct client **at = &c->all->clients;

        while (*at != c)
                at = &(*at)->next;
        *at = c->next;
        c->all->client_count--;
        stream_close(c->stream); /* written data is still sent */
        buf_release(&c->in);
        free(c);
}

static bool has_requested(const struct client *c)
{
        return c->in.len > 0 && c->in.ptr[c->in.len - 1] == '\n';
}

/* Answers a client whose query is the pending one; any other client gets no answer. */
static void answer(struct client *c)
{
        const struct host_answer *h = c->all;

        if (h->host_id[0] != '\0' && str_equal(buf_str(&c->in), str_of(h->query)))
                stream_write(c->stream, str_of(h->host_id));
        drop(c);
}

static void on_read(void *ctx, struct str bytes)
{
        struct client *c = ctx;

        if (has_requested(c) || c->in.len + bytes.len > QUERY_MAX) {
                drop(c);
                return;
        }
        buf_put(&c->in, bytes);
        if (has_requested(c) && c->all->is_known)
                answer(c);
}

static void on_end(void *ctx, struct error *err)
{
        error_free(err);
        drop(ctx);
}

static const struct stream_events client_events = { .on_read = on_read, .on_end = on_end };

static void on_accepted(void *ctx, int fd, const char *peer)
{
        struct host_answer *h = ctx;

        (void)peer;
        if (h->client_count == CLIENTS_MAX || !is_own(fd)) {
                close(fd);
                return;
        }
        struct client *c = NEW(struct client);
        *c = (struct client){ .next = h->clients, .all = h, .stream = socket_stream(h->loop, fd), .in = BUF_MAX(QUERY_MAX) };
        h->clients = c;
        h->client_count++;
        stream_listen(c->stream, &client_events, c);
        stream_read(c->stream, true);
}

struct host_answer *host_answer_listen(struct loop *l, const char *query)
{
        struct sockaddr_un address;
        socklen_t len;
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0 || strlen(query) > QUERY_MAX || !address_of(&address, &len) ||
            bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, CLIENTS_MAX) != 0)
                return NULL;
        struct host_answer *h = NEW(struct host_answer);
        *h = (struct host_answer){ .loop = l, .query = str_dup(str_of(query)) };
        h->listener = listener_new(l, fd, on_accepted, h);
        fd = -1;
        return h;
}

void host_answer_set(struct host_answer *h, const char *host_id)
{
        if (h == NULL)
                return;
        h->is_known = true;
        if (host_id != NULL && strlen(host_id) <= ID_MAX)
                snprintf(h->host_id, sizeof h->host_id, "%s\n", host_id);
        for (struct client *c = h->clients, *next; c != NULL; c = next) {
                next = c->next;
                if (has_requested(c))
                        answer(c);
        }
}

void host_answer_close(struct host_answer *h)
{
        if (h == NULL)
                return;
        listener_close(h->listener);
        while (h->clients != NULL)
                drop(h->clients);
        free(h->query);
        free(h);
}

/* ---- the KnownHostsCommand ---------------------------------------------------------------------------------------- */

/* In one write: a socket buffer is larger than a query. */
static bool put_query(int fd, struct str query)
{
        return send(fd, query.ptr, query.len, MSG_NOSIGNAL) == (ssize_t)query.len;
}

const char *host_answer_fetch(struct arena *a, const char *query)
{
        struct timeval within = { .tv_sec = TIMEOUT_RPC / 1000 };
        struct sockaddr_un address;
        socklen_t len;
        char text[ID_MAX + 1];
        size_t got = 0;
        AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || !address_of(&address, &len) || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof within) != 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof within) != 0 || connect(fd, (const struct sockaddr *)&address, len) != 0 ||
            !is_own(fd) || !put_query(fd, str_of(query)))
                return NULL;
        while (got < sizeof text) {
                ssize_t n = recv(fd, text + got, sizeof text - got, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                got += (size_t)n;
        }
        struct str id = str_of_bytes(text, got);
        if (!str_ends_with(id, STR("\n")) || !name_is_host_id(str_slice(id, 0, id.len - 1)))
                return NULL;
        return str_to_c(a, str_slice(id, 0, id.len - 1));
}
