/* SPDX-License-Identifier: Apache-2.0 */
/* tsh recordings ls: lists the recordings that the user may see. */
#include "cmd/common/recordings.h"

#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"

const struct flag recordings_ls_flags[] = {
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

struct error *recordings_ls_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        AUTO(buf) out = BUF_MAX(OUTPUT_MAX);
        Cteleport__V1__Recording **recordings = NULL;
        size_t count = 0;

        (void)ctx;
        TRY(user_load(given, &p));
        TRY(api_client_open(&a, &p));
        TRY(api_client_list(&a, "/cteleport.v1.AdminService/ListRecordings", &cteleport__v1__list_recordings_response__descriptor,
                       (ProtobufCMessage ***)&recordings, &count));
        recordings_put(&out, given, recordings, count);
        TRY(output_flush(&out));
        return recordings_check(recordings, count);
}
