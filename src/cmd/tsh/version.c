/* SPDX-License-Identifier: Apache-2.0 */
/* tsh version: prints its own version, and that of the proxy if logged in. */
#include "cmd/common/version.h"

#include <stdio.h>

#include "api.pb-c.h"
#include "cmd/common/output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "rpc/pb.h"
#include "tsh.pb-c.h"

const struct flag tsh_version_flags[] = {
        { "client", .kind = FLAG_SWITCH, .help = "Do not ask the proxy" },
        OUTPUT_FORMAT_FLAG("text"),
        { NULL },
};

/* The cluster's version; NULL if no user is logged in, or the cluster does not answer. */
static const char *cluster_version(struct api_client *a, const struct profile *p)
{
        Cteleport__V1__Empty empty = CTELEPORT__V1__EMPTY__INIT;
        ProtobufCMessage *answer = NULL;
        AUTO_PTR(error) err = api_client_open(a, p);

        if (err == NULL)
                err = api_client_request(a, "/cteleport.v1.AdminService/ClusterStatus", &empty.base,
                                &cteleport__v1__cluster_status_response__descriptor, &answer);
        return err == NULL ? ((Cteleport__V1__ClusterStatusResponse *)(void *)answer)->version : NULL;
}

struct error *tsh_version_run(void *ctx, const struct flags *given)
{
        AUTO(profile) p = { 0 };
        AUTO(api_client) a = { 0 };
        AUTO(buf) out = BUF_MAX(64 * KiB);
        Cteleport__Tsh__V1__Version view = CTELEPORT__TSH__V1__VERSION__INIT;
        const char *proxy = NULL;

        (void)ctx;
        AUTO_PTR(error) nobody = flags_switch(given, "client") ? error_new(ERROR_NOT_FOUND, "not asked") : user_load(given, &p);
        if (nobody == NULL)
                proxy = cluster_version(&a, &p);
        if (output_is_text(given)) {
                TRY(version_run(NULL, given));
                if (proxy != NULL)
                        printf("Proxy version: %s\nProxy: %s\n", proxy, p.web_addr);
                return NULL;
        }
        view.version = pb_text(program_version.version);
        view.gitref = pb_text(program_version.gitref);
        view.runtime = pb_text(program_version.runtime);
        view.proxyversion = pb_text(proxy);
        output_put_one(&out, given, &view.base);
        return output_flush(&out);
}
