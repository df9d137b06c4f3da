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

/* The length of a finished recording, or the state of another one. */
static void put_length(struct buf *out, const Cteleport__V1__Recording *r)
{
        if (r->ended == 0)
                buf_put_c(out, r->is_complete ? "unknown" : "going on");
        else
                duration_put(out, SECONDS((r->ended - r->started) / 1000));
}

static void put_table(struct buf *out, Cteleport__V1__Recording *const *recordings, size_t count)
{
        static const char *const titles[] = { "ID", "User", "Login", "Hostname", "Started (UTC)", "Length", "Status", "Command", NULL };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__Recording *r = recordings[i];
                AUTO(buf) started = BUF_MAX(128), length = BUF_MAX(128), status = BUF_MAX(256);

                put_moment(&started, r->started);
                put_length(&length, r);
                buf_put_c(&status, r->status);
                if (r->set_aside > 0) /* damaged files found during the upload */
                        buf_printf(&status, ", %u set aside", r->set_aside);
                TABLE_ROW(t, str_of(r->session_id), str_of(r->user), str_of(r->login), str_of(r->hostname), buf_str(&started),
                          buf_str(&length), buf_str(&status), str_of(r->command));
        }
        table_put(out, t);
}

/* An error status: the file of the recording differs from the data that the node sent. */
static bool is_damaged(const Cteleport__V1__Recording *r)
{
        static const char *const good[] = { "complete", "unproven", "unread", "recording", "waiting", "aborted" };

        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                if (strcmp(r->status, good[i]) == 0)
                        return false;
        return true;
}

struct error *recordings_check(Cteleport__V1__Recording *const *recordings, size_t count)
{
        const Cteleport__V1__Recording *first = NULL;
        size_t damaged = 0;

        for (size_t i = 0; i < count; i++) {
                if (!is_damaged(recordings[i]))
                        continue;
                if (first == NULL)
                        first = recordings[i];
                damaged++;
        }
        if (first == NULL)
                return NULL;
        return error_hint(error_new(ERROR_DATA_LOSS, "%zu of %zu recordings on the Auth Service's disk differ from the data of their nodes, or have holes; "
                                                     "the first is %s: %s",
                                    damaged, count, first->session_id, first->status),
                          "play the remaining parts: tsh play %s; size and digest are in the audit log: tctl audit ls --type=session.upload",
                          first->session_id);
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
