/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/recordings.h"

#include <stdlib.h>

#include "base/mem.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"

static int compare_recordings(const void *a, const void *b)
{
        const Cteleport__V1__Recording *x = *(Cteleport__V1__Recording *const *)a;
        const Cteleport__V1__Recording *y = *(Cteleport__V1__Recording *const *)b;

        if (x->started != y->started)
                return x->started < y->started ? -1 : 1;
        return strcmp(x->session_id, y->session_id);
}

static void put_moment(struct buf *out, int64_t ms)
{
        walltime_put_rfc3339(out, walltime_of_unix(ms / 1000));
}

/* How long it took; of one that goes on, how it stands. */
static void put_length(struct buf *out, const Cteleport__V1__Recording *r)
{
        if (r->ended == 0)
                buf_put_c(out, r->is_complete ? "unknown" : "going on");
        else
                duration_put(out, SECONDS((r->ended - r->started) / 1000));
}

static void put_table(struct buf *out, Cteleport__V1__Recording *const *recordings, size_t count)
{
        static const char *const titles[] = { "ID", "User", "Login", "Hostname", "Started (UTC)", "Length", "Command", NULL };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__Recording *r = recordings[i];
                AUTO(buf) started = BUF_MAX(128), length = BUF_MAX(128);

                put_moment(&started, r->started);
                put_length(&length, r);
                TABLE_ROW(t, str_of(r->session_id), str_of(r->user), str_of(r->login), str_of(r->hostname), buf_str(&started),
                          buf_str(&length), str_of(r->command));
        }
        table_put(out, t);
}

void recordings_put(struct buf *out, const struct flags *given, Cteleport__V1__Recording **recordings, size_t count)
{
        qsort(recordings, count, sizeof *recordings, compare_recordings);
        if (!output_is_text(given))
                output_put_list(out, given, (ProtobufCMessage **)recordings, count);
        else if (count == 0)
                buf_put_c(out, "No recordings found.\n");
        else
                put_table(out, recordings, count);
}
