/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/admin/admin.h"
#include "auth/admin/backup.h"
#include "auth/core/caller.h"
#include "auth/users/directory.h"
#include "auth/core/disk_watch.h"
#include "auth/core/listener.h"
#include "auth/core/record_cache.h"
#include "auth/certs/expiry.h"
#include "auth/certs/issue.h"
#include "auth/certs/rotation.h"
#include "auth/hosts/app_addresses.h"
#include "auth/hosts/app_catalog.h"
#include "auth/hosts/presence.h"
#include "auth/hosts/proxies.h"
#include "auth/core/refusal_log.h"
#include "auth/core/retention.h"
#include "auth/core/retention_clock.h"
#include "auth/hosts/servers.h"
#include "auth/sessions/record_disk.h"
#include "auth/sessions/record_retention.h"
#include "auth/sessions/sessions.h"
#include "auth/web/web_sessions.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "base/text.h"
#include "login/password.h"
#include "net/sources.h"
#include "net/tls.h"
#include "os/file.h"
#include "os/sandbox.h"
#include "os/zlib_api.h"
#include "pki/cert.h"
#include "pki/cert_check.h"
#include "rpc/pb.h"
#include "rpc/rpc.h"
#include "state/cluster.h"
#include "state/host.h"
#include "state/name.h"
#include "state/store_probe.h"
#include "state/token.h"

/*
 * The start is a chain: store → audit outbox → cluster name → authorities (signer) → their rotation → directory (users, roles, locks) → web sessions → proxies
 * → own certificate → own host record → sessions of the last run → listener → ready. Each step's callback begins the
 * next; a failure in the chain is fatal.
 */

/* Begins an audit event with the time and the name of the cluster. */
void auth_audit_begin(struct auth *a, struct audit_record *r, const struct audit_kind *kind)
{
        audit_begin(r, kind, loop_wall(&a->loop), a->cluster);
}

/* Whether the cause may pass, such as a restart of the signer or a full disk: then the other services need not stop. */
static bool passes_by_itself(const struct error *err)
{
        return err->code == ERROR_UNAVAILABLE || err->code == ERROR_DEADLINE_EXCEEDED || err->code == ERROR_CANCELLED ||
               err->code == ERROR_RESOURCE_EXHAUSTED;
}

static void fatal(struct auth *a, struct error *err)
{
        log_error("The Auth Service cannot go on", LOG_ERR(err));
        loop_stop(&a->loop);
        /* The sibling process that ended has reported the reason already. */
        if (error_is_for(err, REASON_SIBLING) || (a->service->boot->restarts > 0 && passes_by_itself(err)))
                error_free(err); /* the supervisor restarts this process after a pause */
        else
                service_fatal(a->service, err);
}

/* Whether the process is stopping: the chain of the start then ends. Frees err in that case. */
static bool is_superseded(const struct auth *a, struct error *err)
{
        if (a->is_stopping)
                error_free(err);
        return a->is_stopping;
}

/* ---- ready ------------------------------------------------------------------------------------------------- */

static void serve_siblings(struct auth *a)
{
        const struct service_row *row;

        for (size_t i = 0; (row = services_present_at(i)) != NULL; i++) {
                int fd = service_take_fd(a->service, row->name);

                if (fd >= 0)
                        auth_listener_local(a, row->name, fd);
        }
}

static void on_sessions(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL) {
                fatal(a, err);
                return;
        }
        a->listener = auth_listener_open(a);
        a->expiry = expiry_new(a);
        a->record_retention = record_retention_new(a);
        serve_siblings(a);
        a->store_probe = store_probe_new(a->store);
        metric_set_health(HEALTH_AUDIT, HEALTH_OK); /* the outbox has written what the last run left */
        log_info("Auth service is ready", LOG_STR("cluster", a->cluster), LOG_C("host_id", a->service->boot->host_id),
                 LOG_C("addr", service_listen_addr(a->service->boot, "auth")), LOG_C("sandbox", sandbox_describe()));
        service_ready(a->service);
}

static void on_own_record(void *ctx, uint64_t revision, struct error *err)
{
        struct auth *a = ctx;

        (void)revision;
        if (is_superseded(a, err))
                return;
        if (err != NULL)
                fatal(a, err);
        else
                a->sessions = sessions_open(a, on_sessions, a);
}

/* Writes the record of this host, which has certificates as any other. Its services request them through local links. */
static void write_own_record(struct auth *a)
{
        Cteleport__State__V1__Host host = CTELEPORT__STATE__V1__HOST__INIT;
        const struct service_row *row;
        char *roles[SERVICE_ROWS_MAX];
        struct store_txn *t = store_txn_new(a->store);

        host.host_id = a->service->boot->host_id;
        host.hostname = a->service->boot->nodename;
        host.join_method = pb_text("local");
        host.system_roles = roles;
        for (size_t i = 0; (row = services_present_at(i)) != NULL; i++)
                if (row->role.is_local_service)
                        roles[host.n_system_roles++] = pb_text(row->role.name.ptr);
        host.joined = walltime_unix(loop_wall(&a->loop));
        host.binding = pb_text("local");
        host_put(t, &host, (struct walltime){ 0 });
        name_put(t, str_of(host.hostname), a->cluster, str_of(host.host_id), str_of(host.binding), (struct walltime){ 0 });
        store_txn_commit(t, on_own_record, a);
}

/* ---- own certificate ------------------------------------------------------------------------------------------- */

static const char *tls_protocol_of_cluster(struct auth *a)
{
        AUTO(buf) name = BUF_MAX(1 * KiB);

        buf_put_c(&name, "teleport-auth@");
        hex_encode(&name, a->cluster);
        buf_put_c(&name, ".teleport.cluster.local");
        return str_to_c(a->service->arena, buf_str(&name));
}

/*
 * Makes the context for new connections. The chain has the leaf and the CAs, as a host that pinned a CA requires it there; peers
 * are verified by all CAs.
 */
static struct error *make_context(struct auth *a, struct str tls_cert)
{
        AUTO(buf) chain = BUF_MAX(64 * KiB);
        AUTO(buf) trust = BUF_MAX(64 * KiB);
        AUTO(secret) key = { 0 };
        static const char *protocols[3] = { "h2" };
        struct tls_context *fresh = NULL;

        if (protocols[1] == NULL)
                protocols[1] = tls_protocol_of_cluster(a);
        cert_der_to_pem(tls_cert, &chain);
        authority_pem(a->authorities.host, &chain);
        authority_pem(a->authorities.host, &trust);
        authority_pem(a->authorities.user, &trust);
        TRY(key_to_pem(&a->tls_key, &key));
        TRY(tls_context_new((struct tls_options){ .is_server = true, .peer = TLS_PEER_OPTIONAL, .trust_pem = buf_str(&trust),
                                                  .alpn = protocols, .is_internal = false },
                            &fresh));
        struct error *err = tls_context_add(fresh, NULL, (struct tls_identity){ buf_str(&chain), secret_str(&key) });
        if (err != NULL) {
                tls_context_free(fresh);
                return err;
        }
        tls_context_free(a->tls);
        a->tls = fresh;
        return NULL;
}

/* During a rotation there are two CAs. */
static void note_issuer(struct auth *a, struct str tls_cert)
{
        const Cteleport__Internal__V1__Authority *host = a->authorities.host;

        buf_release(&a->tls_ca);
        a->tls_ca = BUF_MAX(CERT_MAX);
        for (size_t i = 0; i < host->n_tls_certs && a->tls_ca.len == 0; i++)
                if (cert_is_issued_by(tls_cert, pb_str(host->tls_certs[i])))
                        buf_put(&a->tls_ca, pb_str(host->tls_certs[i]));
}

static struct error *use_certificate(struct auth *a, const Cteleport__Internal__V1__HostCerts *certs)
{
        TRY(make_context(a, pb_str(certs->tls_cert)));
        note_issuer(a, pb_str(certs->tls_cert));
        buf_release(&a->tls_cert);
        a->tls_cert = BUF_MAX(CERT_MAX);
        buf_put(&a->tls_cert, pb_str(certs->tls_cert));
        return NULL;
}

static void renew_certificate(void *ctx);

static void on_own_certificate(void *ctx, const Cteleport__Internal__V1__HostCerts *certs, struct error *err)
{
        struct auth *a = ctx;
        bool is_first = a->tls == NULL;

        if (is_superseded(a, err))
                return;
        if (err == NULL)
                err = use_certificate(a, certs);
        if (err != NULL && is_first) {
                fatal(a, err);
                return;
        }
        if (err != NULL) {
                log_warn("The Auth Service's own certificate could not be renewed, it is tried again", LOG_ERR(err));
                error_free(err);
                timer_start(a->tls_renewal, MINUTES(1));
                return;
        }
        timer_start(a->tls_renewal, (struct duration){ a->host_cert_ttl.ns / 2 });
        if (is_first)
                write_own_record(a);
        else
                presence_report_authorities(a); /* hosts that have followed already ignore it */
}

/* The names under which clients reach this service: the host's own and those of auth_service.public_addr. */
static size_t own_names(struct auth *a, struct str names[LIMIT_CERT_NAMES])
{
        const Cteleport__V1__AuthConfig *config = a->service->boot->config->auth_service;
        size_t count = 0;

        for (size_t i = 0; config != NULL && i < config->n_public_addr && count < LIMIT_CERT_NAMES; i++) {
                struct str host;
                int port;
                struct error *err = address_split(str_of(config->public_addr[i]), 3025, &host, &port);

                if (err == NULL && (name_is_host(host) || name_is_ip(host)) && !name_is_reserved(host, a->cluster))
                        names[count++] = host;
                error_free(err);
        }
        return count;
}

static void renew_certificate(void *ctx)
{
        struct auth *a = ctx;
        AUTO(buf) public_key = BUF_MAX(2 * KiB);
        struct str names[LIMIT_CERT_NAMES];
        size_t count = own_names(a, names);
        struct error *err = key_public_der(&a->tls_key, &public_key);

        if (err != NULL) {
                fatal(a, err);
                return;
        }
        struct str all[LIMIT_CERT_NAMES + 1];
        memcpy(all, names, count * sizeof *all);
        all[count] = str_of(a->service->boot->nodename);
        servers_set_own(a->servers, all, count + 1, buf_str(&public_key));
        struct issue_request request = {
                .host_id = str_of(a->service->boot->host_id),
                .host_name = str_of(a->service->boot->nodename),
                .role = services_of_process(a->service->row->name)->role.name,
                .principals = names,
                .principal_count = count,
                .dns_names = names,
                .dns_name_count = count,
                .tls_public_key = buf_str(&public_key),
                .reason = "local",
        };
        issue(a, &request, on_own_certificate, a);
}

struct error *auth_use_authorities(struct auth *a)
{
        if (a->is_stopping)
                return NULL;
        TRY(make_context(a, buf_str(&a->tls_cert)));
        renew_certificate(a);
        return NULL;
}

/* ---- the chain before the certificate ---------------------------------------------------------------------------- */

static void on_proxies(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL)
                fatal(a, error_wrap(err, "the proxies there are cannot be read"));
        else
                renew_certificate(a);
}

static void on_servers(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL)
                fatal(a, error_wrap(err, "the names of the proxies cannot be read"));
        else
                a->proxies = proxies_open(a, on_proxies, presence_report_proxies, a);
}

static void on_apps(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL)
                fatal(a, error_wrap(err, "the applications cannot be read"));
        else
                a->servers = servers_open(a, on_servers, a);
}

static void on_web_sessions(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL) {
                fatal(a, error_wrap(err, "the web sessions cannot be read"));
                return;
        }
        a->tokens = record_cache_new(&a->loop, a->store, &token_kind);
        a->apps = app_catalog_open(a, on_apps, a);
}

static void on_directory(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL) {
                fatal(a, error_wrap(err, "users, roles and locks cannot be read"));
                return;
        }
        a->web_sessions = web_sessions_open(a, on_web_sessions, a);
}

static void on_rotation(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL)
                fatal(a, error_wrap(err, "the rotation of the CAs cannot go on"));
        else
                a->directory = directory_open(a, on_directory, a);
}

static void on_authorities(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err == NULL)
                err = key_generate(&a->tls_key, KEY_ECDSA_P256);
        if (err != NULL)
                fatal(a, err);
        else
                a->rotation = rotation_open(a, on_rotation, a);
}

static void on_name_written(void *ctx, uint64_t revision, struct error *err)
{
        (void)revision;
        on_authorities(ctx, err);
}

/*
 * The first start creates the CA before it stores the name of the cluster. Without a stored name there is no
 * cluster that could have lost its CA. Once the name is stored, a missing CA is never created again.
 */
static void on_first_authorities(void *ctx, struct error *err)
{
        struct auth *a = ctx;
        struct audit_record record = { 0 };

        if (is_superseded(a, err))
                return;
        if (err != NULL) {
                fatal(a, err);
                return;
        }
        log_info("First start: the authorities of the cluster were made", LOG_STR("cluster", a->cluster));
        struct store_txn *t = store_txn_new(a->store);
        cluster_name_create(t, a->cluster);
        auth_audit_begin(a, &record, &audit_cluster_init);
        outbox_add(a->outbox, t, &record);
        store_txn_commit(t, on_name_written, a);
}

static void on_cluster_name(void *ctx, struct str name, struct error *err)
{
        struct auth *a = ctx;

        if (is_superseded(a, err))
                return;
        if (err != NULL) {
                fatal(a, err);
        } else if (str_is_empty(name)) {
                issue_load_authorities(a, true, on_first_authorities, a);
        } else {
                if (!str_equal(name, a->cluster))
                        log_warn("A cluster cannot be renamed: the name of its first start stays", LOG_STR("configured", a->cluster),
                                 LOG_STR("name", name));
                if (a->is_log_new)
                        log_warn("The audit log and the recordings of this cluster are missing, a new log begins",
                                 LOG_C("hint", "put the directory log back, from a backup or from where it was moved, while teleport is stopped"));
                a->cluster = arena_str(a->service->arena, name);
                issue_load_authorities(a, false, on_authorities, a);
        }
}

static void on_outbox(void *ctx, struct error *err)
{
        struct auth *a = ctx;

        if (err != NULL)
                fatal(a, error_wrap(err, "the audit log cannot be written"));
        else
                cluster_name_get(a->store, on_cluster_name, a);
}

/* Creates a directory, gives it to the user of auth and opens it. That user may be unable to enter the directories above it. */
static struct error *take_dir(const struct auth *a, const char *path, bool *ret_is_new, int *ret_fd)
{
        *ret_is_new = mkdir(path, 0700) == 0;
        if (!*ret_is_new && errno != EEXIST) /* from the second start on it belongs to the user of auth */
                TRY(dir_make(path, 0700));
        TRY(sandbox_give(&a->service->row->user, path));
        *ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return *ret_fd < 0 ? error_errno(errno, "cannot open the directory %s", path) : NULL;
}

/*
 * From now on this process can access only these two directories. The rest of the data directory has the CA keys, which
 * only the signer may read. The paths go through /proc/self/fd, and the descriptors stay open for the life of the
 * process.
 */
static struct error *enter_sandbox(struct auth *a, const char *store_dir, const char *log_dir, const char **ret_store)
{
        int store_fd = -1, log_fd = -1;
        bool is_store_new = false;

        a->started_as = geteuid();
        TRY(take_dir(a, store_dir, &is_store_new, &store_fd));
        TRY(take_dir(a, log_dir, &a->is_log_new, &log_fd));
        *ret_store = arena_printf(a->service->arena, "/proc/self/fd/%d", store_fd);
        a->log_dir = arena_printf(a->service->arena, "/proc/self/fd/%d", log_fd);
        a->records_dir = arena_printf(a->service->arena, "%s/records", a->log_dir);
        path_show_as(*ret_store, store_dir);
        path_show_as(a->log_dir, log_dir);
        TRY(sandbox_become_unprivileged(&a->service->row->user));
        TRY(dir_make(*ret_store, 0700)); /* both exist: checks that only this user may access them */
        TRY(dir_make(a->log_dir, 0700));
        const char *const writable[] = { *ret_store, a->log_dir, NULL };
        return sandbox_enter(a->service->row->sandbox, (struct sandbox_paths){ .write = writable });
}

static void on_rotated(void *ctx)
{
        const struct auth *a = ctx;

        log_info("The audit log was rotated");
        retention_wake(a->retention);
}

static struct error *open_state(struct auth *a)
{
        const Cteleport__Internal__V1__Boot *boot = a->service->boot;
        const Cteleport__V1__TeleportConfig *teleport = boot->config->teleport;
        const char *type = teleport != NULL && teleport->storage != NULL && teleport->storage->type != NULL ? teleport->storage->type : "sqlite";
        const char *path = teleport != NULL && teleport->storage != NULL && teleport->storage->path != NULL
                                   ? teleport->storage->path
                                   : arena_printf(a->service->arena, "%s/backend", boot->data_dir);
        AUTO_MEM char *log_dir = mem_printf("%s/log", boot->data_dir);
        const char *store_dir = NULL;

        TRY(store_load(type));
        TRY(passwords_load());
        TRY(zlib_load());
        TRY(enter_sandbox(a, path, log_dir, &store_dir));
        TRY(store_open(&a->loop, (struct store_options){ .type = type, .path = store_dir, .shown = path }, &a->store));
        TRY(audit_log_open(&a->loop, a->log_dir, &a->audit));
        a->retention_settings = config_retention(boot->config);
        audit_log_rotate(a->audit, (struct audit_rotation){ a->retention_settings.audit_rotation_size, a->retention_settings.audit_rotation_age, on_rotated, a });
        a->retention_clock = retention_clock_new(&a->loop, a->log_dir);
        a->retention = retention_new(a);
        a->disk = disk_watch_new(&a->loop, a->log_dir);
        a->record_disk = record_disk_new(&a->loop);
        return NULL;
}

static struct error *take_config(struct auth *a)
{
        const Cteleport__V1__Config *config = a->service->boot->config;
        const Cteleport__V1__AuthConfig *auth = config->auth_service;
        struct str name = auth != NULL && auth->cluster_name != NULL ? str_of(auth->cluster_name) : str_of(a->service->boot->nodename);

        TRY(name_check_cluster(name, "auth_service.cluster_name"));
        a->cluster = arena_str(a->service->arena, name);
        a->host_cert_ttl = config_host_cert_ttl(config);
        a->heartbeat_ttl = config_heartbeat_ttl(config);
        a->agent_connections = config_agent_connections(config);
        a->presence_held_max = LIMIT_PRESENCE_HELD;
        a->presence_held_apps_max = LIMIT_PRESENCE_HELD_APPS;
        if (auth != NULL)
                TRY(ingress_init(a->service->arena,
                                 &(struct ingress_settings){ .proxy_protocol = auth->proxy_protocol, .load_balancers = auth->load_balancers,
                                                             .load_balancer_count = auth->n_load_balancers },
                                 &a->ingress));
        if (auth != NULL && auth->aws != NULL) {
                const char **regions = arena_alloc(a->service->arena, (auth->aws->n_extra_regions + 1) * sizeof *regions);

                for (size_t i = 0; i < auth->aws->n_extra_regions; i++) {
                        TRY(sts_extra_region_check(str_of(auth->aws->extra_regions[i])));
                        regions[i] = auth->aws->extra_regions[i];
                }
                a->join_settings.is_binding_required = auth->aws->require_join_binding;
                a->join_settings.sts_hosts = (struct sts_host_options){ .fips = auth->aws->fips, .extra_regions = regions };
        }
        return config_static_tokens(config, a->service->arena, &a->static_tokens, &a->static_token_count);
}

/* ---- sibling processes --------------------------------------------------------------------------------------------- */

static void on_signer_lost(void *ctx)
{
        struct auth *a = ctx;

        log_warn("The signer has ended; joins wait until it is started again");
        link_close(a->signer);
        a->signer = NULL;
}

static void on_sts_lost(void *ctx)
{
        struct auth *a = ctx;

        log_warn("The STS client has ended; joins that need it wait until it is started again");
        link_close(a->sts);
        a->sts = NULL;
}

static void on_link(void *ctx, const char *name, int fd)
{
        struct auth *a = ctx;

        if (strcmp(name, "signer") == 0) {
                link_close(a->signer);
                a->signer = link_new(&a->loop, fd, on_signer_lost, a);
        } else if (strcmp(name, "sts") == 0) {
                link_close(a->sts);
                a->sts = link_new(&a->loop, fd, on_sts_lost, a);
        } else if (a->listener == NULL) {
                service_put_fd(a->service, name, fd); /* serve_siblings() serves it when auth is ready */
        } else {
                auth_listener_local(a, name, fd);
        }
}

struct absent {
        void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err);
        void *ctx;
};

static void on_absent(void *ctx)
{
        struct absent *absent = ctx;

        absent->done(absent->ctx, NULL, error_for(error_new(ERROR_UNAVAILABLE, "a process of the Auth Service is being started again"),
                                                     REASON_SIBLING));
        free(absent);
}

void auth_request(struct auth *a, struct link *k, uint16_t verb, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *answer_type, struct duration within,
              void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        if (k != NULL) {
                link_request(k, verb, request, answer_type, within, done, ctx);
                return;
        }
        struct absent *absent = NEW(struct absent);
        *absent = (struct absent){ done, ctx };
        loop_defer(&a->loop, on_absent, absent);
}

/* ---- refusals beyond the rate ---------------------------------------------------------------------------------------- */

static void audit_unreported(struct auth *a, const struct audit_kind *kind, uint64_t count)
{
        struct audit_record record = { 0 };

        auth_audit_begin(a, &record, kind);
        audit_int(&record, "suppressed", (int64_t)count);
        audit_bool(&record, "success", false);
        audit_write(a->audit, &record, NULL, NULL);
}

static void on_unreported(void *ctx, uint64_t count)
{
        log_warn("Failures to join the cluster were not logged one by one", LOG_INT("count", count));
        audit_unreported(ctx, &audit_instance_join_failed, count);
}

static void on_unreported_logins(void *ctx, uint64_t count)
{
        log_warn("Refused logins were not logged one by one", LOG_INT("count", count));
        audit_unreported(ctx, &audit_user_login_failed, count);
}

static void on_unreported_sessions(void *ctx, uint64_t count)
{
        log_warn("Refused SSH connections were not logged one by one", LOG_INT("count", count));
        audit_unreported(ctx, &audit_session_rejected, count);
}

static void on_unreported_failures(void *ctx, uint64_t count)
{
        log_warn("Failed authentications at applications were not logged one by one", LOG_INT("count", count));
        audit_unreported(ctx, &audit_auth_failed, count);
}

static void on_unreported_recordings(void *ctx, uint64_t count)
{
        log_warn("Lost recordings were not logged one by one", LOG_INT("count", count));
        audit_unreported(ctx, &audit_session_recording_lost, count);
}

/* ---- stop and drain ---------------------------------------------------------------------------------------------------- */

static void on_store_closed(void *ctx)
{
        struct auth *a = ctx;

        proxies_close(a->proxies);
        servers_close(a->servers);
        app_catalog_close(a->apps);
        record_cache_free(a->tokens);
        a->tokens = NULL;
        expiry_free(a->expiry);
        a->expiry = NULL;
        rotation_close(a->rotation);
        a->rotation = NULL;
        a->proxies = NULL;
        web_sessions_close(a->web_sessions);
        a->web_sessions = NULL;
        directory_close(a->directory);
        a->directory = NULL;
        passwords_free(a->passwords);
        a->passwords = NULL;
        guard_release(&a->guard);
        audit_budgets_release(a);
        budget_release(&a->requests);
        budget_release(&a->urgent_requests);
        disk_watch_free(a->disk);
        a->disk = NULL;
        record_disk_free(a->record_disk);
        a->record_disk = NULL;
        record_stamps_release(&a->record_stamps);
        loop_stop(&a->loop);
}

static void on_audit_closed(void *ctx)
{
        struct auth *a = ctx;

        directory_stop(a->directory);
        web_sessions_stop(a->web_sessions);
        proxies_stop(a->proxies);
        servers_stop(a->servers);
        app_addresses_stop(a);
        app_catalog_stop(a->apps);
        record_cache_stop(a->tokens);
        store_close(a->store, on_store_closed, a);
}

static void on_outbox_closed(void *ctx)
{
        struct auth *a = ctx;

        refusal_log_free(a->refusal_log);
        a->refusal_log = NULL;
        refusal_log_free(a->login_refusals);
        a->login_refusals = NULL;
        refusal_log_free(a->app_failures);
        a->app_failures = NULL;
        refusal_log_free(a->recording_refusals);
        a->recording_refusals = NULL;
        refusal_log_free(a->session_refusals);
        a->session_refusals = NULL;
        audit_log_close(a->audit, on_audit_closed, a);
}

static void stop(void *ctx)
{
        struct auth *a = ctx;

        if (a->is_stopping)
                return;
        a->is_stopping = true;
        log_info("Auth service is stopping");
        auth_listener_close(a->listener);
        store_probe_free(a->store_probe);
        a->store_probe = NULL;
        backup_end(a);
        sessions_close(a->sessions);
        a->sessions = NULL;
        record_retention_free(a->record_retention);
        a->record_retention = NULL;
        retention_free(a->retention);
        a->retention = NULL;
        retention_clock_free(a->retention_clock);
        a->retention_clock = NULL;
        outbox_close(a->outbox, on_outbox_closed, a);
}

static void on_drain(void *ctx)
{
        struct auth *a = ctx;

        if (a->listener != NULL)
                auth_listener_drain(a->listener, stop, a);
        else
                stop(a); /* there is no connection to drain */
}

static const struct service_events service_events = { .on_stop = stop, .on_drain = on_drain, .on_link = on_link };

static struct error *start(struct auth *a)
{
        int signer = service_take_fd(a->service, "signer"), sts = service_take_fd(a->service, "sts");

        TRY(take_config(a));
        TRY(loop_init(&a->loop, NULL));
        TRY(service_control(a->service, &a->loop, &service_events, a));
        TRY(open_state(a));
        a->signer = link_new(&a->loop, signer, on_signer_lost, a);
        a->sts = link_new(&a->loop, sts, on_sts_lost, a);
        a->tls_renewal = timer_new(&a->loop, renew_certificate, a);
        a->refusal_log = refusal_log_new(&a->loop, on_unreported, a);
        a->login_refusals = refusal_log_new(&a->loop, on_unreported_logins, a);
        a->session_refusals = refusal_log_new(&a->loop, on_unreported_sessions, a);
        a->app_failures = refusal_log_new(&a->loop, on_unreported_failures, a);
        a->recording_refusals = refusal_log_new(&a->loop, on_unreported_recordings, a);
        audit_budgets_init(a);
        admin_init(a);
        a->passwords = passwords_new(&a->loop, password_cost_usual);
        a->outbox = outbox_open(&a->loop, a->store, a->audit, on_outbox, a);
        return NULL;
}

int auth_main(struct service *s)
{
        static struct auth a;
        struct error *err;

        a.service = s;
        err = start(&a);
        if (err != NULL) {
                log_error("The Auth Service cannot start", LOG_ERR(err));
                service_fatal(s, err);
                return 1;
        }
        loop_run(&a.loop);
        return a.is_stopping ? 0 : 1;
}
