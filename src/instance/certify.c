/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for the services of this host, their renewal, and the presence that they announce. */
#include "instance/instance.h"

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/identity_message.h"
#include "net/socket.h"
#include "rpc/pb.h"

enum { PUBLIC_KEY_MAX = 4 * KiB, NAMES_ARENA_MAX = 64 * KiB };

/* ---- certificates ---------------------------------------------------------------------------------- */

/* Whether the cluster's CAs have changed since the certificate was issued, and it was not requested again since. */
static bool is_of_other_cas(const struct instance *i, const struct slot *s)
{
        if (i->ca_revision == NULL || host_identity_is_empty(&s->identity) || s->refusal != NULL)
                return false;
        struct str wanted = str_of(i->ca_revision);
        bool was_asked = s->revision_asked != NULL && str_equal(str_of(s->revision_asked), wanted);
        return !was_asked && !str_equal(s->identity.certs.ca_revision, wanted);
}

/* Whether the certificate is to be replaced, because it begins in the future. */
static bool is_early(const struct slot *s)
{
        return s->is_early && s->refusal == NULL;
}

static bool is_due(const struct instance *i, const struct slot *s)
{
        const struct host_identity *instance = &i->slots[SLOT_INSTANCE].identity;
        if (host_identity_is_empty(&s->identity))
                return true;
        if (!i->is_local && (!str_equal(s->identity.host_id, instance->host_id) || !str_equal(s->identity.cluster, instance->cluster)))
                return true; /* from an earlier membership */
        if (!s->is_fresh && (i->is_local || s == &i->slots[SLOT_PROXY]))
                return true; /* since the service last ran, its addresses, the host ID or the CA may have changed */
        if (s->service != NULL && s->identity.certs.ssh_user_ca_count == 0)
                return true; /* from a join, or from a release that did not send the user CA */
        if (is_of_other_cas(i, s) || is_early(s))
                return true;
        return loop_wall(&i->loop).ns >= s->renew_at.ns;
}

static bool has_due(const struct instance *i)
{
        for (size_t n = 0; n < SLOT_COUNT; n++)
                if (i->slots[n].is_wanted && (is_early(&i->slots[n]) || is_of_other_cas(i, &i->slots[n])))
                        return true;
        return false;
}

/* With which revision of the CAs all certificates were issued; "-" if they differ. */
static const char *own_revision(const struct instance *i, struct arena *a)
{
        const struct slot *first = NULL;

        for (size_t n = 0; n < SLOT_COUNT; n++) {
                const struct slot *s = &i->slots[n];

                if (!s->is_wanted || s->refusal != NULL || host_identity_is_empty(&s->identity))
                        continue;
                if (first != NULL && !str_equal(first->identity.certs.ca_revision, s->identity.certs.ca_revision))
                        return "-";
                first = s;
        }
        return first == NULL ? "" : str_to_c(a, first->identity.certs.ca_revision);
}

/* Copies the host parts of a service's public addresses to the arena. */
static char **public_names(struct arena *a, char *const *addrs, size_t count, size_t *ret_count)
{
        char **names = arena_alloc(a, (count + 1) * sizeof *names);
        *ret_count = 0;
        for (size_t n = 0; n < count; n++) {
                struct str host;
                int port;
                struct error *err = address_split(str_of(addrs[n]), 1, &host, &port);
                if (err == NULL)
                        names[(*ret_count)++] = pb_text(str_to_c(a, host));
                error_free(err);
        }
        return names;
}

static void certify_next(struct instance *i);

/* A refused role affects its own service only. Each refusal is logged once. */
static void report_refusal(struct slot *s, const struct error *err)
{
        if (s->refusal != NULL && str_equal(str_of(s->refusal), str_of(err->what)))
                return;
        free(s->refusal);
        s->refusal = str_dup(str_of(err->what));
        log_error("The cluster refuses a role that this host's configuration requires", LOG_C("role", s->role),
                  LOG_C("service", s->title), LOG_ERR(err));
}

static struct error *take_certificates(struct instance *i, struct slot *s, const Cteleport__V1__HostCertsResponse *r)
{
        const struct host_identity *instance = &i->slots[SLOT_INSTANCE].identity;
        struct host_certificates certs;
        AUTO(host_identity) id = { 0 };
        struct host_expectation expected = { .role = str_of(s->role), .pins = i->trust.pins };
        if (!i->is_local) {
                expected.host_id = instance->host_id;
                expected.cluster = instance->cluster;
        }
        if (!i->is_local)
                TRY(error_for(host_identity_check_proof(instance, pb_str(r->join_proof)), REASON_IDENTITY));
        TRY(error_for(host_certificates_of(&certs, r->certificates), REASON_ANSWER));
        TRY(error_for(identity_add_user_cas(&certs, r), REASON_ANSWER));
        /* The connection was verified by the CAs of the Instance identity, from end to end: its Auth Service may name new ones. */
        host_certificates_vouch(&certs, instance, &i->trust.pins);
        TRY(error_for(host_identity_make(&id, &i->certify_keys, &certs, expected), REASON_ANSWER));
        TRY(error_for(host_identity_check_times(&id, loop_wall(&i->loop)), REASON_ANSWER));
        instance_report_skew(i, host_clock_skew(id.times, loop_wall(&i->loop)));
        if (r->join_proof.len > 0) /* checked once: later answers need no proof */
                i->slots[SLOT_INSTANCE].identity.has_join_proof = false;
        instance_take_identity(i, (enum slot_index)(s - i->slots), &id);
        s->is_fresh = true;
        return NULL;
}

/* A failure while present keeps the current certificates, which are valid for another half of their life. */
static void certify_failed(struct instance *i, struct error *err)
{
        if (i->presence == NULL) {
                instance_failed(i, err);
                return;
        }
        if (!error_is_for(err, REASON_CONNECTION)) /* a lost connection is reported by the end of presence */
                log_warn("A certificate could not be renewed", LOG_C("role", i->slots[i->certify_slot].role),
                         LOG_ERR(err));
        conversation_enter(&i->at, INSTANCE_PRESENT);
        timer_start(i->renewal, instance_pause_after(i, err));
        error_free(err);
}

static void on_certified(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance *i = ctx;
        struct slot *s = &i->slots[i->certify_slot];
        if (i->is_stopping || i->at.state != INSTANCE_CERTIFY || instance_auth(i) == NULL) {
                error_free(err);
                return;
        }
        if (err == NULL)
                err = take_certificates(i, s, (const Cteleport__V1__HostCertsResponse *)answer);
        host_keys_release(&i->certify_keys);
        if (err == NULL) {
                free(s->refusal);
                s->refusal = NULL;
                free(s->revision_asked);
                s->revision_asked = i->certify_revision;
                i->certify_revision = NULL;
                i->must_reconnect |= s == &i->slots[SLOT_INSTANCE];
                i->must_report |= i->is_local; /* its connection stays */
        } else if (s->service != NULL && error_is_for(err, REASON_ROLE)) {
                report_refusal(s, err);
                error_free(err);
        } else {
                certify_failed(i, err);
                return;
        }
        i->certify_slot++;
        certify_next(i);
}

static struct error *send_request(struct instance *i, const struct slot *s)
{
        AUTO(buf) tls = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO(buf) ssh = BUF_MAX(PUBLIC_KEY_MAX);
        AUTO_PTR(arena) a = arena_new(NAMES_ARENA_MAX);
        const Cteleport__V1__Config *config = i->boot->config;
        struct rpc_client *auth = instance_auth(i);

        if (auth == NULL)
                return error_for(error_new(ERROR_UNAVAILABLE, "the connection to the Auth Service is lost"), REASON_CONNECTION);
        free(i->certify_revision);
        i->certify_revision = i->ca_revision == NULL ? NULL : str_dup(str_of(i->ca_revision));
        TRY(host_keys_generate(&i->certify_keys));
        TRY(key_public_der(&i->certify_keys.tls, &tls));
        TRY(key_public_ssh(&i->certify_keys.ssh, &ssh));
        Cteleport__V1__HostCertsRequest request = CTELEPORT__V1__HOST_CERTS_REQUEST__INIT;
        request.role = pb_text(s->role);
        request.host_name = i->boot->nodename;
        request.public_tls_key = (ProtobufCBinaryData){ tls.len, (uint8_t *)tls.ptr };
        request.public_ssh_key = (ProtobufCBinaryData){ ssh.len, (uint8_t *)ssh.ptr };
        /* Only a proxy is reached under names of its own. */
        if (s == &i->slots[SLOT_PROXY] && config->proxy_service != NULL)
                request.dns_names = public_names(a, config->proxy_service->public_addr,
                                                 config->proxy_service->n_public_addr, &request.n_dns_names);
        rpc_client_unary(auth,
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.HostService/GenerateHostCerts",
                                 .response = &cteleport__v1__host_certs_response__descriptor,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         &request.base, on_certified, i);
        return NULL;
}

/* The applications of app_service, in the arena. */
static void put_apps(const struct instance *i, struct arena *a, Cteleport__V1__PresenceUp__Hello *hello)
{
        const Cteleport__V1__AppServiceConfig *service = i->boot->config->app_service;

        if (service == NULL || i->apps == NULL)
                return;
        hello->app_matchers = service->resources;
        hello->n_app_matchers = service->n_resources;
        if (service->n_resources > 0)
                hello->n_app_names = sibling_names(i->siblings[i->app_slot], &hello->app_names);
        hello->apps = arena_alloc(a, (service->n_apps + 1) * sizeof *hello->apps);
        for (size_t n = 0; n < service->n_apps; n++) {
                const Cteleport__V1__AppConfig *from = service->apps[n];
                Cteleport__V1__App *app = hello->apps[hello->n_apps++] = arena_alloc(a, sizeof *app);

                cteleport__v1__app__init(app);
                app->metadata = arena_alloc(a, sizeof *app->metadata);
                cteleport__v1__metadata__init(app->metadata);
                app->spec = arena_alloc(a, sizeof *app->spec);
                cteleport__v1__app_spec__init(app->spec);
                app->metadata->name = from->name;
                app->metadata->description = from->description == NULL ? pb_text("") : from->description;
                app->spec->uri = from->uri;
                app->spec->tcp_ports = from->tcp_ports;
                app->spec->n_tcp_ports = from->n_tcp_ports;
                app->spec->cors = from->cors;
                app->spec->required_apps = from->required_apps;
                app->spec->n_required_apps = from->n_required_apps;
                app->spec->public_addr = from->public_addr == NULL ? pb_text("") : from->public_addr;
                app->metadata->labels = arena_alloc(a, (from->n_labels + 1) * sizeof *app->metadata->labels);
                for (size_t k = 0; k < from->n_labels; k++) {
                        Cteleport__V1__Metadata__LabelsEntry *label = arena_alloc(a, sizeof *label);

                        cteleport__v1__metadata__labels_entry__init(label);
                        label->key = from->labels[k]->key;
                        label->value = from->labels[k]->value;
                        app->metadata->labels[app->metadata->n_labels++] = label;
                }
        }
}

static void open_presence(struct instance *i);

static void certify_next(struct instance *i)
{
        while (i->certify_slot < SLOT_COUNT) {
                struct slot *s = &i->slots[i->certify_slot];
                if (s->is_wanted && is_due(i, s)) {
                        struct error *err = send_request(i, s);
                        if (err != NULL)
                                certify_failed(i, err);
                        return;
                }
                i->certify_slot++;
        }
        if (has_due(i)) { /* the CAs have changed meanwhile */
                i->certify_slot = 0;
                certify_next(i);
                return;
        }
        instance_plan_renewal(i);
        if (i->must_report) {
                presence_close(i->presence);
                i->presence = NULL;
        }
        i->must_report = false;
        if (i->must_reconnect) {
                instance_hang_up(i);
                member_connect(i);
        } else if (i->presence == NULL) {
                open_presence(i);
        } else {
                conversation_enter(&i->at, INSTANCE_PRESENT);
        }
}

void certify_begin(struct instance *i)
{
        conversation_enter(&i->at, INSTANCE_CERTIFY);
        i->certify_slot = 0;
        certify_next(i);
}

/* ---- the cluster's clock ----------------------------------------------------------------------------- */

/* In a later turn: a stream calls this, and the renewal may close it. While away, on_polled looks for due certificates. */
static void renew_early(struct instance *i, struct duration skew)
{
        if (identity_store_mark_early(i, skew) && i->at.state == INSTANCE_PRESENT)
                timer_start(i->renewal, MILLISECONDS(1));
}

/* Whether a certificate is not valid yet by this host's own clock, which may be wrong. */
static bool seems_early(const struct instance *i)
{
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                const struct slot *s = &i->slots[n];

                if (s->is_wanted && !host_identity_is_empty(&s->identity) && host_times_are_early(s->identity.times, loop_wall(&i->loop), SECONDS(0)))
                        return true;
        }
        return false;
}

static void on_time(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance *i = ctx;
        struct duration skew;

        if (err == NULL && !i->is_stopping && presence_skew(((const Cteleport__V1__PingResponse *)answer)->now, loop_wall(&i->loop), &skew)) {
                instance_report_skew(i, skew);
                renew_early(i, skew);
        }
        error_free(err); /* a lost connection is reported by the end of presence */
}

static void request_time(struct instance *i)
{
        Cteleport__V1__Empty nothing = CTELEPORT__V1__EMPTY__INIT;

        rpc_client_unary(instance_auth(i),
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.PingService/Ping",
                                 .response = &cteleport__v1__ping_response__descriptor,
                                 .within = MILLISECONDS(TIMEOUT_RPC),
                         },
                         &nothing.base, on_time, i);
}

static void poll_within(struct instance *i, struct duration pause);

/* Beside its own Auth Service this host's clock is the cluster's. */
static void on_clock_check(void *ctx)
{
        struct instance *i = ctx;
        bool is_unreached = instance_keeps_tunnels(i) && !i->has_tunnel;

        if (i->is_local)
                renew_early(i, SECONDS(0));
        else if (i->at.state == INSTANCE_PRESENT && instance_auth(i) != NULL && (is_unreached || seems_early(i)))
                request_time(i);
        else if (i->at.state == INSTANCE_AWAY && is_unreached && seems_early(i))
                poll_within(i, MILLISECONDS(PACE_CLOCK_CHECK));
        timer_start(i->clock_check, MILLISECONDS(PACE_CLOCK_CHECK));
}

void certify_watch_clock(struct instance *i)
{
        i->clock_check = timer_new(&i->loop, on_clock_check, i);
        timer_unref(i->clock_check);
        timer_start(i->clock_check, MILLISECONDS(PACE_CLOCK_CHECK));
}

/* ---- presence -------------------------------------------------------------------------------------- */

static void on_welcome(void *ctx, struct str cluster, const struct duration *skew)
{
        struct instance *i = ctx;
        (void)cluster;
        if (!i->is_listed)
                log_info("This host is present in the cluster", LOG_C("host_id", i->status.host_id),
                         LOG_C("cluster", i->status.cluster), LOG_C("server", i->status.server));
        i->is_listed = true;
        i->has_joined = false;
        instance_succeeded(i);
        if (skew != NULL) {
                instance_report_skew(i, *skew);
                renew_early(i, *skew);
        }
        instance_show_state(i);
        instance_report_labels(i);
        if (i->has_unreported_apps)
                instance_report_apps(i);
        loop_trim_later(&i->loop); /* returns what joining needed: an idle agent should be small */
}

static void on_notice(void *ctx, struct str kind, struct str text)
{
        struct instance *i = ctx;
        AUTO_MEM char *shown_kind = escaped(kind);
        AUTO_MEM char *shown = escaped(text);
        log_warn("The cluster reports about this host", LOG_C("kind", shown_kind), LOG_STR("text", text));
        status_set_notice(&i->status, shown_kind, shown);
}

/* Schedules the next poll within `pause`. */
static void poll_within(struct instance *i, struct duration pause)
{
        struct instant now = loop_now(&i->loop);
        if (instant_since(i->poll_at, now).ns <= pause.ns)
                return;
        i->poll_at = instant_add(now, pause);
        timer_start(i->wait, pause);
}

/* The certificates that sshd and the services have are replaced before a later step of the rotation makes them useless. */
static void on_authorities(void *ctx, struct str revision)
{
        struct instance *i = ctx;
        if (i->ca_revision != NULL && str_equal(str_of(i->ca_revision), revision))
                return;
        free(i->ca_revision);
        i->ca_revision = str_dup(revision);
        if (!has_due(i))
                return;
        AUTO_MEM char *shown = escaped(revision);
        log_info("The cluster's CAs are being rotated: this host requests new certificates", LOG_C("revision", shown));
        if (i->at.state == INSTANCE_PRESENT)
                timer_start(i->renewal, MILLISECONDS(1)); /* in a later turn: the stream calls this function, and the renewal may close it */
}

static void on_polled(void *ctx, struct duration pause)
{
        struct instance *i = ctx;
        instance_hang_up(i);
        if (has_due(i)) {
                member_connect(i);
                return;
        }
        conversation_enter(&i->at, INSTANCE_AWAY);
        instance_plan_renewal(i);
        i->poll_at = (struct instant){ INT64_MAX };
        poll_within(i, pause);
        instance_report_labels(i);
        instance_report_apps(i);
}

static void on_presence_end(void *ctx, struct error *err)
{
        struct instance *i = ctx;
        i->presence = NULL;
        err = app_table_explain_refusal(i->boot->config->app_service, err);
        instance_failed(i, i->is_listed ? error_wrap(err, "lost the Auth Service") : err);
}

static void on_proxies(void *ctx, const Cteleport__V1__PresenceDown__Proxies *sent)
{
        struct instance *i = ctx;
        if (!proxy_list_set(i->proxies, sent))
                return;
        log_debug("The cluster has sent its list of proxies", LOG_INT("count", proxy_list_message(i->proxies)->n_proxies));
        auth_client_use_proxies(i->auth, proxy_list_message(i->proxies));
        if (i->is_listed)
                instance_show_state(i);
        for (size_t n = 0; n < SLOT_COUNT; n++)
                sibling_check(i->siblings[n]);
}

static void on_apps(void *ctx, const Cteleport__V1__PresenceDown__Apps *sent)
{
        struct instance *i = ctx;
        if (i->apps == NULL)
                return;
        app_table_take(i->apps, sent);
        sibling_check(i->siblings[i->app_slot]);
}

static const struct presence_events presence_events = {
        .on_welcome = on_welcome, .on_polled = on_polled, .on_notice = on_notice, .on_proxies = on_proxies,
        .on_authorities = on_authorities, .on_apps = on_apps, .on_end = on_presence_end,
};

void instance_report_labels(struct instance *i)
{
        Cteleport__V1__PresenceUp__Labels all = CTELEPORT__V1__PRESENCE_UP__LABELS__INIT;
        if (i->labels != NULL) {
                all.n_commands = label_values_list(i->labels, &all.commands);
                all.n_app_labels = label_values_list_apps(i->labels, &all.app_labels);
        }
        if (all.n_commands + all.n_app_labels > 0 && i->presence != NULL && presence_report_labels(i->presence, &all))
                i->has_unreported_labels = false;
        if (i->has_unreported_labels && i->at.state == INSTANCE_AWAY)
                poll_within(i, MILLISECONDS(PACE_POLL_LABELS));
}

void instance_report_apps(struct instance *i)
{
        char **names;
        size_t count = i->apps == NULL ? 0 : sibling_names(i->siblings[i->app_slot], &names);
        if (i->apps == NULL)
                return;
        if (i->presence != NULL && presence_report_apps(i->presence, names, count))
                i->has_unreported_apps = false;
        if (i->has_unreported_apps && i->at.state == INSTANCE_AWAY)
                poll_within(i, MILLISECONDS(PACE_POLL_LABELS));
}

static void open_presence(struct instance *i)
{
        AUTO_PTR(arena) a = arena_new(NAMES_ARENA_MAX);
        const Cteleport__V1__SSHConfig *ssh = i->boot->config->ssh_service;
        Cteleport__V1__PresenceUp__Hello hello = CTELEPORT__V1__PRESENCE_UP__HELLO__INIT;
        char *services[SLOT_COUNT];

        hello.hostname = i->boot->nodename;
        hello.version = pb_text(CTELEPORT_VERSION);
        hello.services = services;
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                const struct slot *s = &i->slots[n];
                if (s->service != NULL && s->is_wanted && s->refusal == NULL && !host_identity_is_empty(&s->identity))
                        services[hello.n_services++] = pb_text(s->role);
        }
        /* Its services have no listeners: users reach them through their tunnels to the proxies. */
        hello.use_tunnel = instance_keeps_tunnels(i);
        hello.may_poll = !i->is_local;
        hello.knows_no_proxy = proxy_list_message(i->proxies)->n_proxies == 0;
        if (i->labels != NULL) {
                hello.n_commands = label_values_list(i->labels, &hello.commands);
                hello.n_app_labels = label_values_list_apps(i->labels, &hello.app_labels);
        }
        i->has_unreported_labels = i->has_unreported_apps = false;
        hello.process_nonce = i->process_nonce;
        hello.ca_revision = pb_text(own_revision(i, a));
        if (i->slots[SLOT_PROXY].is_wanted && i->boot->config->proxy_service != NULL && i->boot->config->proxy_service->n_public_addr > 0)
                hello.proxy_addr = i->boot->config->proxy_service->public_addr[0];
        put_apps(i, a, &hello);
        if (ssh != NULL && i->slots[SLOT_NODE].is_wanted) {
                hello.has_no_file_copy = ssh->has_ssh_file_copy && !ssh->ssh_file_copy;
                hello.n_public_addrs = ssh->n_public_addr;
                hello.public_addrs = ssh->public_addr;
                hello.n_labels = ssh->n_labels;
                hello.labels = arena_alloc(a, (ssh->n_labels + 1) * sizeof *hello.labels);
                for (size_t n = 0; n < ssh->n_labels; n++) {
                        hello.labels[n] = arena_alloc(a, sizeof **hello.labels);
                        cteleport__v1__presence_up__hello__labels_entry__init(hello.labels[n]);
                        hello.labels[n]->key = ssh->labels[n]->key;
                        hello.labels[n]->value = ssh->labels[n]->value;
                }
        }
        conversation_enter(&i->at, INSTANCE_PRESENT);
        i->presence = presence_open(&i->loop, instance_auth(i), &hello, &presence_events, i);
}
