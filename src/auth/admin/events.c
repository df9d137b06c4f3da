/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "api.pb-c.h"
#include "audit/audit_search.h"
#include "auth/admin/admin.h"
#include "auth/admin/request.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/pb.h"

/* A search on the thread pool. Its data is in the arena of the request, which the loop does not use meanwhile. */
struct search {
        struct admin_request *request;
        const char *dir;
        struct audit_query query;
        struct audit_page page;
        struct error *err;
};

static struct error *take_list(struct admin_request *q, char **values, size_t count, const char *what, const struct str **ret)
{
        struct str *list = arena_alloc(q->arena, (count + 1) * sizeof *list);

        if (count > LIMIT_EVENTS_QUERY_VALUES)
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d %s in one search", LIMIT_EVENTS_QUERY_VALUES, what);
        for (size_t i = 0; i < count; i++)
                list[i] = str_of(values[i]);
        *ret = list;
        return NULL;
}

static struct walltime time_of_ms(int64_t ms)
{
        return (struct walltime){ ms > INT64_MAX / 1000000 ? INT64_MAX : ms * 1000000 };
}

static struct error *take_query(struct admin_request *q, struct audit_query *ret)
{
        const Cteleport__V1__SearchEventsRequest *m = (const Cteleport__V1__SearchEventsRequest *)q->message;

        if (m->from < 0 || m->to < 0)
                return error_new(ERROR_INVALID_ARGUMENT, "events are not as old as that");
        *ret = (struct audit_query){
                .from = time_of_ms(m->from),
                .to = time_of_ms(m->to == 0 ? INT64_MAX : m->to),
                .user_count = m->n_users,
                .type_count = m->n_types,
                .most = m->limit,
                .after = str_of(m->after),
        };
        TRY(take_list(q, m->users, m->n_users, "users", &ret->users));
        return take_list(q, m->types, m->n_types, "types", &ret->types);
}

static void work(void *ctx)
{
        struct search *s = ctx;

        s->err = audit_search(s->dir, &s->query, &s->page);
}

static void on_searched(void *ctx)
{
        struct search *s = ctx;
        struct admin_request *q = s->request;
        Cteleport__V1__SearchEventsResponse response = CTELEPORT__V1__SEARCH_EVENTS_RESPONSE__INIT;

        if (s->err == NULL) {
                if (s->page.skipped > 0)
                        log_warn("The audit log has lines that are no events", LOG_INT("count", (int64_t)s->page.skipped));
                response.events = arena_alloc(q->arena, (s->page.count + 1) * sizeof *response.events);
                for (struct str rest = buf_str(&s->page.text); !str_is_empty(rest);)
                        response.events[response.n_events++] = pb_text(arena_str(q->arena, str_split(&rest, '\n')).ptr);
                response.next = s->page.next;
                response.skipped = s->page.skipped;
                admin_reply(q, &response.base);
        } else {
                admin_fail(q, s->err);
        }
        audit_page_release(&s->page);
        free(s);
}

static void release_search(void *ctx)
{
        struct search *s = ctx;

        error_free(s->err);
        audit_page_release(&s->page);
        free(s);
}

void admin_search_events(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct search *s = NEW(struct search);
        struct error *err = take_query(q, &s->query);

        if (err != NULL) {
                admin_fail(q, err);
                free(s);
                return;
        }
        s->request = q;
        s->dir = q->auth->log_dir;
        admin_work(q, work, on_searched, release_search, s);
}
