/* SPDX-License-Identifier: Apache-2.0 */
/* tsh recordings ls: the sessions that were recorded and that the person may see. */
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/person.h"
#include "schema/schema.h"
#include "tsh.pb-c.h"

const struct flag recordings_ls_flags[] = {
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* The newest first. */
static int compare_recordings(const void *a, const void *b)
{
        const Cteleport__V1__Recording *x = *(Cteleport__V1__Recording *const *)a, *y = *(Cteleport__V1__Recording *const *)b;

        return x->started < y->started ? 1 : x->started > y->started ? -1 : strcmp(x->session_id, y->session_id);
}

static Cteleport__V1__Timestamp *time_view(struct arena *a, int64_t ms)
{
        enum { MS = 1000, NS_IN_MS = 1000000 };
        Cteleport__V1__Timestamp *t = arena_alloc(a, sizeof *t);

        cteleport__v1__timestamp__init(t);
        t->seconds = ms / MS;
        t->nanos = (int32_t)(ms % MS * NS_IN_MS);
        return t;
}

static ProtobufCMessage *view_of(struct arena *a, const Cteleport__V1__Recording *r)
{
        Cteleport__Tsh__V1__Recording *view = arena_alloc(a, sizeof *view);

        cteleport__tsh__v1__recording__init(view);
        view->session_id = r->session_id;
        view->user = r->user;
        view->login = r->login;
        view->server_id = r->host_id;
        view->server_hostname = r->hostname;
        view->session_start = time_view(a, r->started);
        view->session_stop = r->ended == 0 ? NULL : time_view(a, r->ended);
        view->has_size = view->has_complete = true;
        view->size = r->size;
        view->complete = r->is_complete;
        view->command = r->command;
        return &view->base;
}

static void put_table(struct buf *out, Cteleport__V1__Recording *const *recordings, size_t count)
{
        static const char *const titles[] = { "ID", "Type", "Participants", "Login", "Hostname", "Timestamp", "State", NULL };
        enum { MS = 1000 };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__Recording *r = recordings[i];
                AUTO(buf) started = BUF_MAX(128);
                const char *state = r->is_complete ? "complete" : r->ended == 0 ? "live" : "arriving";

                timestamp_put(&started, r->started / MS, 0);
                TABLE_ROW(t, str_of(r->session_id), STR("ssh"), str_of(r->user), str_of(r->login), str_of(r->hostname),
                          buf_str(&started), str_of(state));
        }
        table_put(out, t);
}

struct error *recordings_ls_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(asker) a = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Recording **recordings = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(person_load(given, &p));
        TRY(asker_open(&a, &p));
        TRY(asker_list(&a, "/cteleport.v1.AdminService/ListRecordings", &cteleport__v1__list_recordings_response__descriptor,
                       (ProtobufCMessage ***)&recordings, &count));
        qsort(recordings, count, sizeof *recordings, compare_recordings);
        if (output_is_text(given)) {
                put_table(&out, recordings, count);
                return output_flush(&out);
        }
        ProtobufCMessage **views = arena_alloc(a.arena, (count + 1) * sizeof *views);
        for (size_t i = 0; i < count; i++)
                views[i] = view_of(a.arena, recordings[i]);
        output_put_list(&out, given, views, count);
        return output_flush(&out);
}
