/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread receives a job and returns it, as a pointer, through a pipe: no memory is shared, and nothing is locked. If
 * the reading end is closed, the result is not needed any more, and the thread frees the job.
 */
#include "net/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "loop/loop.h"

enum { THREAD_STACK = 1 * MiB, ADDRESSES_MAX = LIMIT_CONNECT_ADDRESSES * (INET6_ADDRSTRLEN + 3) };

/* The input and the result of a thread. */
struct job {
        char *host;
        int pipe; /* writing end of the pipe that returns the job */
        struct buf addresses;
        int status; /* result of getaddrinfo */
};

struct name {
        struct name *next;
        char *host;
        struct buf addresses;
        struct instant found; /* time of the lookup */
        bool is_looked_up;    /* a thread is resolving it */
        struct lookup *waiting;
};

struct lookup {
        struct lookup *next;
        struct lookups *lookups;
        struct name *name;
        struct timer *timer; /* runs to the deadline, or fires at once for a cached answer */
        struct duration within;
        void (*done)(void *ctx, struct str addresses, struct error *err);
        void *ctx;
};

struct lookups {
        struct loop *loop;
        uv_poll_t poll;
        int pipe[2];
        struct name *names;
        size_t threads;
};

/* ---- the thread ------------------------------------------------------------------------------------ */

static void job_free(struct job *j)
{
        free(j->host);
        buf_release(&j->addresses);
        free(j);
}

static void put_address(struct buf *out, const struct addrinfo *a)
{
        char text[INET6_ADDRSTRLEN];
        const struct sockaddr_in *v4 = (const void *)a->ai_addr;
        const struct sockaddr_in6 *v6 = (const void *)a->ai_addr;
        bool is_v6 = a->ai_family == AF_INET6;

        if (a->ai_family != AF_INET && !is_v6)
                return;
        inet_ntop(a->ai_family, is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, text, sizeof text);
        buf_printf(out, is_v6 ? "%s[%s]" : "%s%s", out->len == 0 ? "" : ",", text);
}

static void look_up(void *ctx)
{
        struct job *j = ctx;
        int pipe = j->pipe;
        const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        struct addrinfo *list = NULL;
        int count = 0;

        j->status = getaddrinfo(j->host, NULL, &hints, &list);
        for (const struct addrinfo *a = list; a != NULL && count < LIMIT_CONNECT_ADDRESSES; a = a->ai_next, count++)
                put_address(&j->addresses, a);
        if (list != NULL)
                freeaddrinfo(list);
        ssize_t sent;
        do
                sent = write(pipe, &j, sizeof j);
        while (sent < 0 && errno == EINTR);
        if (sent != sizeof j)
                job_free(j);
        close(pipe);
}

/* ---- names ------------------------------------------------------------------------------------------- */

static struct name **find(struct lookups *s, struct str host)
{
        struct name **at = &s->names;

        while (*at != NULL && !str_equal_nocase(str_of((*at)->host), host))
                at = &(*at)->next;
        return at;
}

static struct duration age(const struct lookups *s, const struct name *n)
{
        return instant_since(loop_now(s->loop), n->found);
}

static bool has_answer(const struct lookups *s, const struct name *n)
{
        return n->addresses.len > 0 && age(s, n).ns < MILLISECONDS(TIMEOUT_LOOKUP_CACHED).ns;
}

static void name_free(struct name *n)
{
        buf_release(&n->addresses);
        free(n->host);
        free(n);
}

/* Removes names that have no waiting lookup and no valid answer. */
static void forget_old(struct lookups *s)
{
        for (struct name **at = &s->names; *at != NULL;) {
                struct name *n = *at;

                if (n->is_looked_up || n->waiting != NULL || has_answer(s, n)) {
                        at = &n->next;
                        continue;
                }
                *at = n->next;
                name_free(n);
        }
}

static bool begin(struct lookups *s, struct name *n)
{
        static const uv_thread_options_t options = { .flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = THREAD_STACK };
        uv_thread_t thread;
        int pipe = s->threads >= LIMIT_LOOKUPS ? -1 : fcntl(s->pipe[1], F_DUPFD_CLOEXEC, 0);

        if (pipe < 0)
                return false;
        struct job *j = NEW(struct job);
        *j = (struct job){ .host = str_dup(str_of(n->host)), .pipe = pipe, .addresses = BUF_MAX(ADDRESSES_MAX) };
        if (uv_thread_create_ex(&thread, &options, look_up, j) != 0) {
                close(pipe);
                job_free(j);
                return false;
        }
        pthread_detach(thread);
        n->is_looked_up = true;
        s->threads++;
        return true;
}

static void lookup_free(struct lookup *k)
{
        struct lookup **at = &k->name->waiting;

        while (*at != k)
                at = &(*at)->next;
        *at = k->next;
        timer_free(k->timer);
        free(k);
}

static void answer(struct lookup *k, struct error *err)
{
        void (*done)(void *ctx, struct str addresses, struct error *err) = k->done;
        void *ctx = k->ctx;
        AUTO(buf) addresses = BUF_MAX(ADDRESSES_MAX);

        buf_put(&addresses, buf_str(&k->name->addresses));
        lookup_free(k);
        done(ctx, err == NULL ? buf_str(&addresses) : (struct str){ 0 }, err);
}

static struct error *not_found(const struct job *j)
{
        AUTO_MEM char *shown = escaped(str_of(j->host));

        return error_new(ERROR_UNAVAILABLE, "the name %s does not resolve: %s", shown,
                         j->status == 0 ? "it has no address" : gai_strerror(j->status));
}

static void take(struct lookups *s, struct job *j)
{
        struct name *n = *find(s, str_of(j->host));

        s->threads--;
        if (n == NULL)
                bug("a name was forgotten while it was looked up");
        n->is_looked_up = false;
        if (j->addresses.len > 0) {
                buf_clear(&n->addresses);
                buf_put(&n->addresses, buf_str(&j->addresses));
                n->found = loop_now(s->loop);
        }
        while (n->waiting != NULL)
                answer(n->waiting, j->addresses.len > 0 ? NULL : not_found(j));
        job_free(j);
        forget_old(s);
}

static void on_job(uv_poll_t *poll, int status, int events)
{
        struct lookups *s = CONTAINER_OF(poll, struct lookups, poll);
        struct job *j;

        (void)status;
        (void)events;
        if (read(s->pipe[0], &j, sizeof j) == sizeof j)
                take(s, j);
}

/* ---- waiting lookups ----------------------------------------------------------------------------------- */

static void on_timer(void *ctx)
{
        struct lookup *k = ctx;
        AUTO_MEM char *shown = escaped(str_of(k->name->host));

        answer(k, has_answer(k->lookups, k->name) ? NULL :
                                                    error_new(ERROR_UNAVAILABLE, "the name %s was not resolved within %d ms", shown,
                                                              (int)duration_ms(k->within)));
}

struct lookup *lookup_start(struct lookups *s, struct str host, struct duration within,
                            void (*done)(void *ctx, struct str addresses, struct error *err), void *ctx)
{
        struct name **at = find(s, host), *n = *at;
        struct lookup *k = NEW(struct lookup);

        if (n == NULL) {
                n = *at = NEW(struct name);
                *n = (struct name){ .host = str_dup(host), .addresses = BUF_MAX(ADDRESSES_MAX) };
        }
        *k = (struct lookup){ n->waiting, s, n, timer_new(s->loop, on_timer, k), within, done, ctx };
        n->waiting = k;
        bool is_there = has_answer(s, n);
        if (!n->is_looked_up && (!is_there || age(s, n).ns >= MILLISECONDS(PACE_LOOKUP).ns))
                (void)begin(s, n); /* on failure the deadline reports that no answer came */
        timer_start(k->timer, is_there ? MILLISECONDS(0) : within);
        return k;
}

void lookup_cancel(struct lookup *k)
{
        if (k != NULL)
                lookup_free(k);
}

void lookups_forget(struct lookups *s, struct str host)
{
        struct name *n = *find(s, host);

        if (n != NULL)
                buf_clear(&n->addresses);
}

/* ---- life ------------------------------------------------------------------------------------------------ */

struct lookups *lookups_new(struct loop *l)
{
        struct lookups *s = NEW(struct lookups);

        s->loop = l;
        if (pipe2(s->pipe, O_CLOEXEC) != 0 || fcntl(s->pipe[0], F_SETFL, O_NONBLOCK) != 0)
                bug("no pipe for name lookups");
        if (uv_poll_init(&l->uv, &s->poll, s->pipe[0]) != 0 || uv_poll_start(&s->poll, UV_READABLE, on_job) != 0)
                bug("a pipe cannot be watched");
        uv_unref((uv_handle_t *)&s->poll); /* lookups that wait have a timer */
        return s;
}

static void on_closed(uv_handle_t *handle)
{
        free(CONTAINER_OF((uv_poll_t *)handle, struct lookups, poll));
}

void lookups_free(struct lookups *s)
{
        struct job *j;

        if (s == NULL)
                return;
        while (read(s->pipe[0], &j, sizeof j) == sizeof j)
                job_free(j);
        close(s->pipe[1]);
        for (struct name *n = s->names, *next; n != NULL; n = next) {
                next = n->next;
                if (n->waiting != NULL)
                        bug("lookups end while a caller waits");
                name_free(n);
        }
        uv_poll_stop(&s->poll);
        close(s->pipe[0]);
        uv_close((uv_handle_t *)&s->poll, on_closed);
}
