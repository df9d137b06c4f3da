/* SPDX-License-Identifier: Apache-2.0 */
/* teleport debug connect: why this host does not reach its cluster. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cluster/diagnose.h"
#include "cmd/common/diagnosis_output.h"
#include "cmd/teleport/commands.h"
#include "cmd/teleport/launch.h"
#include "instance/identity_file.h"
#include "loop/loop.h"
#include "os/file.h"

enum { CA_FILE_MAX = 256 * KiB };

const struct flag debug_connect_flags[] = {
        { "config", .letter = 'c', .kind = FLAG_TEXT, .value = "FILE", .help = "Configuration file (/etc/teleport.yaml if it exists)" },
        { "config-string", .kind = FLAG_TEXT, .value = "BASE64", .env = "TELEPORT_CONFIG", .is_hidden = true,
          .help = "A whole configuration file in base64" },
        { "proxy", .kind = FLAG_TEXT, .value = "HOST:PORT", .help = "Address of the proxy, instead of the server of the file" },
        { "ca-pin", .kind = FLAG_LIST, .value = "PIN", .help = "Pin of the cluster's CA, or the absolute path of a file with pins" },
        { "data-dir", .kind = FLAG_TEXT, .value = "DIR", .help = "Directory of identity and state (/var/lib/teleport)" },
        DIAGNOSIS_FORMAT_FLAG,
        { 0 },
};

/* What the walk borrows. */
struct walk {
        struct launch launch;
        struct buf ca_file;
        struct host_identity identity; /* empty: this host has none */
        struct connect_trust trust;
        struct diagnose_options options;
        struct diagnosis diagnosis;
        struct diagnosis_output output;
        struct loop loop;
};

/* ---- the configuration --------------------------------------------------------------------------------------- */

static struct error *find_server(struct walk *w, const struct flags *given, const char **ret_source)
{
        const Cteleport__V1__TeleportConfig *t = w->launch.config->teleport;

        *ret_source = w->launch.config_path == NULL ? "--config-string" : w->launch.config_path;
        if (flags_text(given, "proxy") != NULL) {
                *ret_source = "--proxy";
                w->options.proxy_server = name_of_url(str_of(flags_text(given, "proxy")));
        } else {
                w->options.proxy_server = str_of(t->proxy_server);
                w->options.auth_server = str_of(t->auth_server);
                if (str_is_empty(w->options.auth_server) && t->n_auth_servers > 0)
                        w->options.auth_server = str_of(t->auth_servers[0]);
        }
        if (!str_is_empty(w->options.proxy_server) || !str_is_empty(w->options.auth_server))
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "no proxy_server and no auth_server is configured"),
                          "set teleport.proxy_server (host:443) in the configuration file, or give --proxy=HOST:PORT");
}

/* The identity verifies the cluster, as it does for the agent. */
static void load_identity(struct walk *w)
{
        AUTO_MEM char *dir = mem_printf("%s/proc", w->launch.data_dir);
        struct error *err = identity_load_as_root(dir, "Instance", &w->trust.pins, &w->identity);

        if (err == NULL || err->code == ERROR_NOT_FOUND) {
                error_free(err);
                return;
        }
        if (err->code == ERROR_PERMISSION_DENIED)
                err = error_hint(err, "run this as root, or as the owner of %s", w->launch.data_dir);
        diagnosis_warn(&w->diagnosis, DIAGNOSIS_CONFIGURATION, error_wrap(err, "the identity of this host is not used"));
}

static struct error *load_trust(struct walk *w)
{
        AUTO_MEM char *ca_path = mem_printf("%s/ca.cert", w->launch.data_dir);

        w->ca_file = BUF_MAX(CA_FILE_MAX);
        struct error *err = file_read(ca_path, &w->ca_file);
        if (err != NULL && err->code != ERROR_NOT_FOUND && err->code != ERROR_PERMISSION_DENIED)
                return err;
        error_free(err); /* without the right to read it, the identity's warning follows */
        w->trust = (struct connect_trust){
                .pins = { (const char *const *)w->launch.ca_pins, w->launch.ca_pin_count },
                .ca_file_pem = buf_str(&w->ca_file),
                .stored = &w->identity,
        };
        load_identity(w);
        return NULL;
}

static void describe(struct walk *w, const char *source)
{
        const Cteleport__V1__JoinParams *join = w->launch.config->teleport->join_params;
        bool is_proxy = !str_is_empty(w->options.proxy_server);
        AUTO_MEM char *server = escaped(is_proxy ? w->options.proxy_server : w->options.auth_server);
        AUTO_MEM char *method = join == NULL || join->method == NULL ? NULL : mem_printf(", join method %s", join->method);
        bool has_proof = w->trust.pins.count > 0 || !str_is_empty(w->trust.ca_file_pem) || !host_identity_is_empty(&w->identity);

        diagnosis_pass(&w->diagnosis, DIAGNOSIS_CONFIGURATION, "%s %s (%s)%s%s", is_proxy ? "proxy_server" : "auth_server", server, source,
                       w->trust.pins.count > 0 ? ", ca_pin" : "", method == NULL ? "" : method);
        if (!has_proof)
                diagnosis_warn(&w->diagnosis, DIAGNOSIS_CONFIGURATION,
                               error_hint(error_new(ERROR_FAILED_PRECONDITION,
                                                    is_proxy ? "there is no ca_pin: the proxy is verified by its web certificate, and not that it is of your cluster"
                                                             : "there is no ca_pin: whether the server is of your cluster is not verified"),
                                          "set teleport.ca_pin, or give --ca-pin, to the pin that 'tctl status' prints on the Auth Service's machine"));
}

static struct error *configure(struct walk *w, const struct flags *given)
{
        const char *source;

        TRY(launch_prepare_connection(given, &w->launch));
        TRY(find_server(w, given, &source));
        TRY(load_trust(w));
        describe(w, source);
        w->options.trust = &w->trust;
        return NULL;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static void on_done(void *ctx)
{
        struct walk *w = ctx;

        loop_stop(&w->loop);
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
        diagnose_start(&w->loop, &w->options, &w->diagnosis, on_done, w);
        return diagnosis_output_run(&w->output, &w->loop);
}

struct error *debug_connect_run(void *ctx, const struct flags *given)
{
        struct walk w = { 0 };
        struct error *err = walk(&w, given);

        (void)ctx;
        diagnosis_output_release(&w.output);
        diagnosis_release(&w.diagnosis);
        host_identity_release(&w.identity);
        buf_release(&w.ca_file);
        launch_release(&w.launch);
        return err;
}
