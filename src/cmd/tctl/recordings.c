/* SPDX-License-Identifier: Apache-2.0 */
/* tctl recordings ls: the sessions whose recordings the cluster keeps. */
#include "cmd/common/output.h"
#include "cmd/common/recordings.h"
#include "cmd/tctl/commands.h"
#include "cmd/tctl/session.h"

const struct flag recordings_ls_flags[] = {
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

struct error *recordings_ls_run(void *ctx, const struct flags *given)
{
        AUTO(session) s = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Recording **recordings = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(session_open(&s, given));
        TRY(session_list(&s, "ListRecordings", &cteleport__v1__list_recordings_response__descriptor,
                         (ProtobufCMessage ***)&recordings, &count));
        recordings_put(&out, given, recordings, count);
        TRY(output_flush(&out));
        return recordings_check(recordings, count);
}
