/* SPDX-License-Identifier: Apache-2.0 */
/* tsh debug connect: why this workstation does not reach the cluster. */
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/interop.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "client/find_proxy.h"
#include "cluster/diagnose.h"
#include "cmd/common/diagnosis_output.h"
#include "cmd/tsh/commands.h"
#include "cmd/tsh/user.h"
#include "loop/loop.h"
#include "net/http_fetch.h"
#include "net/http_proxy.h"
#include "net/transport.h"

/* How a server is verified. */
#define NOT_VERIFIED "not verified (--insecure)"
#define OF_SYSTEM "verified by the CAs of the system"
#define OF_PROFILE "verified by the CAs of the profile"

enum { PORT_PROXY = 3080, PAGE_MAX = 32 * KiB };

const struct flag debug_connect_flags[] = {
        DIAGNOSIS_FORMAT_FLAG,
        { NULL },
};

struct walk {
        struct loop loop;
        struct diagnosis diagnosis;
        struct diagnosis_output output;
        struct profile profile;
        bool has_profile, is_insecure;
        const char *address; /* host:port, in the arena */
        struct arena *arena;
        struct http_proxy via;
        struct stream *tls;  /* to the proxy, while its page is requested */
        struct rpc_client *auth; /* as the user */
};

/* ---- the configuration: the profile, or --proxy ------------------------------------------------------------------ */

/* As `tsh login` does: without a port, the one that answers. */
static struct error *find_address(struct walk *w, const char *proxy)
{
        struct str host;
        int port;

        if (w->has_profile) {
                w->address = w->profile.web_addr;
                return NULL;
        }
        TRY(address_split(str_of(proxy), 0, &host, &port));
        AUTO_MEM char *joined = address_join(host, port == 0 ? PORT_PROXY : port);
        w->address = str_to_c(w->arena, str_of(joined));
        struct error *err = port == 0 ? find_proxy(w->arena, proxy, w->is_insecure, &w->address) : NULL;
        if (error_is_for(err, REASON_ANSWER))
                return err;
        error_free(err); /* it is found again, step by step */
        return NULL;
}

static struct error *configure(struct walk *w, const struct flags *given)
{
        const char *proxy;
        struct str host;
        int port;

        TRY(user_proxy(w->arena, given, &proxy));
        struct error *err = profile_load(&w->profile, proxy, flags_text(given, "user"));
        w->has_profile = err == NULL;
        if (err != NULL && (proxy == NULL || err->code != ERROR_NOT_FOUND))
                return err->code != ERROR_NOT_FOUND ? err : error_hint(err, "name the proxy: tsh debug connect --proxy=HOST[:PORT]");
        error_free(err);
        w->is_insecure = flags_switch(given, "insecure") || (w->has_profile && w->profile.is_insecure);
        TRY(find_address(w, proxy));
        TRY(address_split(str_of(w->address), -1, &host, &port));
        w->diagnosis.address = str_dup(str_of(w->address));
        diagnosis_pass(&w->diagnosis, DIAGNOSIS_CONFIGURATION, "%s (%s)", w->address, w->has_profile ? "profile" : flags_given(given, "proxy") ? "--proxy" : "TELEPORT_PROXY");
        diagnosis_add_setting(&w->diagnosis);
        if (w->is_insecure)
                diagnosis_warn(&w->diagnosis, DIAGNOSIS_CONFIGURATION,
                               error_hint(error_new(ERROR_FAILED_PRECONDITION, "the proxy's web certificate is not verified (--insecure)"),
                                          "give the proxy a certificate that this machine trusts, or let SSL_CERT_FILE name its authority; then log in without --insecure"));
        err = http_proxy_of_environment(host, port, &w->via);
        if (err != NULL)
                diagnosis_begin(&w->diagnosis, DIAGNOSIS_EGRESS); /* to which the error belongs */
        return err;
}

/* ---- steps --------------------------------------------------------------------------------------------------------- */

static void finish(void *ctx)
{
        struct walk *w = ctx;

        loop_stop(&w->loop);
}

static void fail(struct walk *w, struct error *err)
{
        diagnosis_fail(&w->diagnosis, err);
        finish(w);
}

static void on_auth_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err); /* the call that runs reports it */
}

static void on_auth_answer(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct walk *w = ctx;
        AUTO(buf) end = BUF_MAX(64);

        (void)answer;
        rpc_client_close(w->auth);
        if (err != NULL) {
                fail(w, err);
                return;
        }
        walltime_put_rfc3339(&end, w->profile.not_after);
        diagnosis_pass(&w->diagnosis, DIAGNOSIS_LOGIN, "%s, until %s: the Auth Service accepts this login", w->profile.user, buf_c(&end));
        finish(w);
}

/* Auth judges the user at each call, not at the connection: this one is open to all who are logged in. */
static void on_auth(void *ctx, struct stream *tls, struct error *err)
{
        struct walk *w = ctx;
        Cteleport__V1__Empty nothing = CTELEPORT__V1__EMPTY__INIT;

        if (err != NULL) {
                fail(w, err);
                return;
        }
        w->auth = rpc_client_new(&w->loop, tls, "auth", on_auth_closed, w);
        rpc_client_unary(w->auth,
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.AdminService/ClusterStatus",
                                 .response = &cteleport__v1__cluster_status_response__descriptor,
                                 .response_max = LIMIT_RPC,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         &nothing.base, on_auth_answer, w);
}

/* The user's own connection to the Auth Service, as every command but `tsh login` makes it. */
static void check_login(void *ctx)
{
        struct walk *w = ctx;
        struct error *err = NULL;

        if (diagnosis_failed_at(&w->diagnosis) != DIAGNOSIS_STEPS) {
                finish(w);
                return;
        }
        if (!w->has_profile) {
                diagnosis_skip(&w->diagnosis, DIAGNOSIS_LOGIN, "not logged in at this proxy");
                finish(w);
                return;
        }
        diagnosis_begin(&w->diagnosis, DIAGNOSIS_LOGIN);
        err = profile_check_times(&w->profile, loop_wall(&w->loop));
        if (err != NULL) {
                fail(w, err);
                return;
        }
        struct client_dial *dial = client_dial_auth(&w->loop, &w->profile, on_auth, w);
        (void)dial; /* ends by itself */
}

static void on_page(void *ctx, struct str body, struct error *err)
{
        struct walk *w = ctx;
        struct stream *tls = w->tls;

        w->tls = NULL;
        bool is_of_teleport = err == NULL && interop_is_teleport_answer(body);
        if (is_of_teleport)
                err = interop_refuse_server(w->address);
        if (err != NULL)
                err = error_wrap(err, "GET /webapi/ping");
        if (err != NULL && (!w->has_profile || is_of_teleport)) {
                stream_close(tls);
                fail(w, err);
                return;
        }
        if (err != NULL) /* only a login needs the pages */
                diagnosis_warn(&w->diagnosis, DIAGNOSIS_PAGE, err);
        else
                diagnosis_pass(&w->diagnosis, DIAGNOSIS_PAGE, "GET /webapi/ping is answered by cteleport");
        diagnose_services(&w->loop, tls, false, &w->diagnosis, check_login, w);
}

static void on_page_dialled(void *ctx, struct stream *tls, struct error *err)
{
        struct walk *w = ctx;

        if (err != NULL) {
                on_page(w, STR(""), err);
                return;
        }
        AUTO_MEM char *host = transport_host_field(w->address);
        const struct http_fetch_request request = { .host = host, .path = "/webapi/ping", .limit = PAGE_MAX, .within = MILLISECONDS(TIMEOUT_HTTP1),
                                                    .refusal = transport_refuse_page };
        struct http_fetch *fetch = http_fetch_start(&w->loop, tls, &request, on_page, w);
        (void)fetch; /* ends by itself */
}

static void on_proxy(void *ctx, struct stream *tls, struct error *err)
{
        struct walk *w = ctx;

        if (err != NULL) {
                fail(w, err);
                return;
        }
        if (w->has_profile)
                diagnosis_connected(&w->diagnosis, OF_PROFILE, OF_PROFILE);
        else if (w->is_insecure)
                diagnosis_connected(&w->diagnosis, NOT_VERIFIED, NOT_VERIFIED);
        else
                diagnosis_connected(&w->diagnosis, OF_SYSTEM, DIAGNOSIS_LEARNED_CA);
        w->tls = tls;
        diagnosis_begin(&w->diagnosis, DIAGNOSIS_PAGE);
        struct client_dial *dial = client_dial_page(&w->loop, w->address, w->is_insecure, on_page_dialled, w);
        (void)dial; /* ends by itself */
}

static struct error *walk(struct walk *w, const struct flags *given)
{
        diagnosis_output_start(&w->output, &w->diagnosis, given);
        struct error *err = configure(w, given);

        if (err != NULL) {
                diagnosis_fail(&w->diagnosis, err);
                return diagnosis_output_finish(&w->output);
        }
        TRY(loop_init(&w->loop, NULL));
        struct client_dial *dial = w->has_profile ? client_dial_known_proxy(&w->loop, &w->profile, on_proxy, w)
                                                  : client_dial_proxy(&w->loop, w->address, w->is_insecure, on_proxy, w);
        w->diagnosis.outer_proof = w->is_insecure ? NOT_VERIFIED : OF_SYSTEM;
        client_dial_watch(dial, diagnosis_watch(&w->diagnosis, w->via.address));
        return diagnosis_output_run(&w->output, &w->loop);
}

struct error *debug_connect_run(void *ctx, const struct flags *given)
{
        struct walk w = { .arena = arena_new(64 * KiB) };
        struct error *err = walk(&w, given);

        (void)ctx;
        diagnosis_output_release(&w.output);
        diagnosis_release(&w.diagnosis);
        profile_release(&w.profile);
        arena_free(w.arena);
        return err;
}
