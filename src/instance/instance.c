/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/instance.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "api.pb-c.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "cluster/roots.h"
#include "instance/labels.h"
#include "net/cert_watch.h"
#include "net/socket.h"
#include "os/file.h"
#include "os/sandbox.h"

enum { CA_FILE_MAX = 256 * KiB, REASON_MAX = 16 * KiB };

/* No state has a deadline: each waits for an operation that has one (dialling, TLS, calls), or for a timer. */
static const struct conversation_state states[] = {
        [INSTANCE_START] = { "start", SECONDS(0),
                             TO(INSTANCE_CONNECT_TO_JOIN) | TO(INSTANCE_CONNECT) | TO(INSTANCE_CERTIFY) |
                                     TO(INSTANCE_WAIT) },
        [INSTANCE_CONNECT_TO_JOIN] = { "connect to join", SECONDS(0), TO(INSTANCE_JOIN) | TO(INSTANCE_WAIT) },
        [INSTANCE_JOIN] = { "join", SECONDS(0),
                            TO(INSTANCE_CONNECT_TO_JOIN) | TO(INSTANCE_CONNECT) | TO(INSTANCE_WAIT) },
        [INSTANCE_CONNECT] = { "connect", SECONDS(0), TO(INSTANCE_CERTIFY) | TO(INSTANCE_WAIT) },
        [INSTANCE_CERTIFY] = { "certify", SECONDS(0),
                               TO(INSTANCE_PRESENT) | TO(INSTANCE_CONNECT) | TO(INSTANCE_AWAY) | TO(INSTANCE_WAIT) },
        [INSTANCE_PRESENT] = { "present", SECONDS(0),
                               TO(INSTANCE_CERTIFY) | TO(INSTANCE_AWAY) | TO(INSTANCE_WAIT) },
        [INSTANCE_AWAY] = { "away", SECONDS(0), TO(INSTANCE_CONNECT) | TO(INSTANCE_CONNECT_TO_JOIN) },
        [INSTANCE_WAIT] = { "wait", SECONDS(0),
                            TO(INSTANCE_CONNECT_TO_JOIN) | TO(INSTANCE_CONNECT) | TO(INSTANCE_CERTIFY) |
                                    TO(INSTANCE_WAIT) },
};

/* ---- attempts and retries -------------------------------------------------------------------------- */

static void on_local_client(void *ctx, struct rpc_client *client, struct error *err)
{
        struct instance *i = ctx;
        i->is_requesting_auth = false;
        if (client != NULL && !i->is_stopping)
                certify_begin(i);
        else
                instance_go_on(i); /* the Auth Service is still starting */
        error_free(err);
}

/* On the machine of the Auth Service the link is the connection. A failure closes the link, so another one is requested. */
static void open_link(struct instance *i)
{
        if (i->is_requesting_auth)
                return;
        i->is_requesting_auth = true;
        status_set_server(&i->status, "this machine");
        auth_client_request(i->auth, on_local_client, i);
}

void instance_go_on(struct instance *i)
{
        if (i->is_stopping)
                return;
        const struct host_identity *id = &i->slots[SLOT_INSTANCE].identity;
        if (i->is_local) {
                open_link(i);
                return;
        }
        bool is_usable = !host_identity_is_empty(id) && !i->is_identity_suspect;
        if (is_usable) {
                struct error *err = host_identity_check_times(id, loop_wall(&i->loop));
                if (err != NULL)
                        log_info("The identity of this host has ended, it joins again", LOG_ERR(err));
                is_usable = err == NULL;
                error_free(err);
        }
        if (is_usable)
                member_connect(i);
        else
                member_join(i);
}

static void stop_now(struct instance *i);

static void on_wait(void *ctx)
{
        struct instance *i = ctx;
        if (i->is_stopping)
                stop_now(i);
        else
                instance_go_on(i);
}

static bool is_joining(const struct instance *i)
{
        return i->at.state == INSTANCE_CONNECT_TO_JOIN || i->at.state == INSTANCE_JOIN;
}

/*
 * Whether the cluster refuses this host's certificate, rather than one request: by a status of its own, or by a TLS alert after
 * it has been authenticated. An Auth Service with another CA may be the same cluster set up again; joining can verify that, so it
 * is tried as well. Any other server that answers (a captive portal, an HTTP proxy, a load balancer) proves nothing about the
 * identity, whatever text or status it sends.
 */
static bool is_about_identity(const struct instance *i, const struct error *err)
{
        if (i->is_local || is_joining(i) || error_is_for(err, REASON_LOCK)) /* the identity is valid again after an unlock */
                return false;
        return error_is_for(err, REASON_IDENTITY) || error_is_for(err, REASON_OTHER_CA);
}

/*
 * By what a repetition of a failure is known. The causes of a failed join are those of the other ways, among them the decision of the cluster. Other causes
 * are details that differ by chance, such as a reset or an end of the connection; hints may have the time of day.
 */
static char *reason_of(const struct error *err, bool is_join)
{
        AUTO(buf) text = BUF_MAX(REASON_MAX);

        buf_put_c(&text, err->what);
        for (err = err->cause; is_join && err != NULL; err = err->cause)
                buf_printf(&text, "\n%s", err->what);
        return str_dup(buf_str(&text));
}

/* Repetitions of a failure are not logged: the operator reads one line for each change. */
static void report_failure(struct instance *i, const struct error *err)
{
        bool is_join = is_joining(i);
        char **reported = &i->reported[is_join], *reason = reason_of(err, is_join);
        if (*reported != NULL && strcmp(*reported, reason) == 0) {
                free(reason);
                return;
        }
        free(*reported);
        *reported = reason;
        if (is_join && error_is_for(err, REASON_TOKEN))
                log_error("Can not join the cluster as Instance, the token expired or not found. "
                          "Regenerate the token and try again.", LOG_ERR(err));
        else if (is_join)
                log_error("Can not join the cluster as Instance.", LOG_ERR(err));
        else if (i->has_joined)
                log_warn("This host has joined the cluster, but is not listed there", LOG_ERR(err));
        else
                log_warn("This host is not connected to the cluster", LOG_ERR(err));
}

/* The join succeeded at the same address, so the server is reachable, and a device on the path blocks some connections. */
static struct error *hint_at_what_is_between(const struct instance *i, struct error *err)
{
        bool is_cut = i->at.state == INSTANCE_CONNECT && i->has_joined && error_is_for(err, REASON_CONNECTION);
        if (!is_cut || i->proxy_server.len == 0)
                return err;
        return error_hint(err, "the join went through at this address: if a load balancer or firewall stands in front of the "
                               "proxy, it must pass TLS through unchanged, for every name and protocol (ALPN)");
}

/* The cluster has recorded an answer that this host then refused, and records one more at each attempt: the pause is longer. */
struct duration instance_pause_after(struct instance *i, const struct error *err)
{
        struct duration pause = backoff_next(&i->backoff), least = MILLISECONDS(PACE_REFUSED_ANSWER);

        return error_is_for(err, REASON_ANSWER) && pause.ns < least.ns ? least : pause;
}

void instance_failed(struct instance *i, struct error *err)
{
        err = hint_at_what_is_between(i, err);
        report_failure(i, err);
        status_set_error(&i->status, err);
        if (error_is_decision(err))
                i->is_locked = error_is_for(err, REASON_LOCK);
        i->is_identity_suspect |= is_about_identity(i, err);
        struct duration pause = instance_pause_after(i, err);
        error_free(err);
        instance_hang_up(i);
        i->is_listed = false;
        conversation_enter(&i->at, INSTANCE_WAIT);
        if (i->status.state != STATUS_JOINING || i->is_locked)
                instance_show_state(i);
        timer_start(i->wait, pause);
}

bool instance_keeps_tunnels(const struct instance *i)
{
        for (size_t n = 0; n < SLOT_COUNT; n++)
                if (i->slots[n].is_wanted && i->slots[n].keeps_tunnels)
                        return true;
        return false;
}

/* For /readyz. A host of a cluster without proxies has no tunnels to wait for. */
static void show_tunnels(struct instance *i, bool has_way)
{
        if (!instance_keeps_tunnels(i))
                return;
        i->has_had_tunnel |= i->has_tunnel;
        metric_set_health(HEALTH_TUNNELS, i->has_tunnel                ? HEALTH_OK
                                          : i->has_had_tunnel          ? HEALTH_DEGRADED
                                          : i->is_listed && !has_way   ? HEALTH_ABSENT
                                                                       : HEALTH_STARTING);
}

void instance_show_state(struct instance *i)
{
        bool keeps_tunnels = instance_keeps_tunnels(i);
        bool has_way = proxy_list_message(i->proxies)->n_proxies > 0; /* without a proxy no tunnel is missing */
        bool is_reached = !keeps_tunnels || i->has_tunnel || !has_way;
        bool has_notice = i->is_listed && keeps_tunnels && !has_way;
        show_tunnels(i, has_way);
        status_set_notice(&i->status, "proxy",
                          has_notice ? "no proxy of the cluster has an address for agents (proxy_service.public_addr): users cannot reach this host"
                                     : NULL);
        status_set_state(&i->status, i->is_locked      ? STATUS_LOCKED
                                     : !i->is_listed   ? STATUS_CONNECTING
                                     : is_reached      ? STATUS_CONNECTED
                                                       : STATUS_UNREACHABLE);
}

void instance_succeeded(struct instance *i)
{
        backoff_reset(&i->backoff);
        i->is_identity_suspect = i->is_locked = false;
        for (size_t n = 0; n < ARRAY_LEN(i->reported); n++) {
                free(i->reported[n]);
                i->reported[n] = NULL;
        }
        status_set_error(&i->status, NULL);
}

void instance_hang_up(struct instance *i)
{
        timer_stop(i->renewal);
        host_keys_release(&i->certify_keys);
        presence_close(i->presence);
        i->presence = NULL;
        rpc_client_close(i->join_rpc);
        i->join_rpc = NULL;
        if (i->auth != NULL)
                auth_client_disconnect(i->auth);
}

struct rpc_client *instance_auth(const struct instance *i)
{
        return i->auth == NULL ? NULL : auth_client_get(i->auth);
}

/* Needs no action: a call is always open on the connection, and its callback has received the same error before. */
void instance_on_rpc_closed(void *ctx, struct error *err)
{
        (void)ctx;
        error_free(err);
}

/* ---- renewal and clocks ------------------------------------------------------------------------------ */

static void on_store_again(void *ctx)
{
        identity_store_store_again(ctx);
}

static void on_renewal(void *ctx)
{
        struct instance *i = ctx;
        if (i->at.state == INSTANCE_PRESENT && instance_auth(i) != NULL) {
                certify_begin(i);
        } else if (i->at.state == INSTANCE_AWAY) { /* the renewal is due before the next poll */
                timer_stop(i->wait);
                instance_go_on(i);
        }
}

void instance_report_skew(struct instance *i, struct duration skew)
{
        int64_t seconds = skew.ns / 1000000000;
        bool is_off = seconds > LIMIT_CLOCK_WARN_SECONDS || seconds < -LIMIT_CLOCK_WARN_SECONDS;
        status_set_skew(&i->status, skew);
        if (is_off && !i->is_clock_off)
                log_warn("The clock of this host is off", LOG_INT("behind_the_cluster_by_seconds", seconds),
                         LOG_C("hint", "set the clock of this host, for instance with chrony: proofs of an AWS identity "
                                       "are only good for some minutes"));
        i->is_clock_off = is_off;
        AUTO_MEM char *text = mem_printf("the clock of this host is %lld seconds %s the cluster's",
                                         (long long)(seconds < 0 ? -seconds : seconds),
                                         seconds < 0 ? "ahead of" : "behind");
        status_set_notice(&i->status, "clock", is_off ? text : NULL);
}

/* ---- messages of the supervisor -------------------------------------------------------------------- */

static void on_status_written(void *ctx)
{
        struct instance *i = ctx;
        loop_stop(&i->loop);
}

static void stop_now(struct instance *i)
{
        if (i->has_stopped)
                return;
        i->has_stopped = true;
        timer_stop(i->wait);
        if (i->connect != NULL)
                connect_cancel(i->connect);
        if (i->join != NULL)
                join_client_cancel(i->join);
        else
                instance_hang_up(i);
        auth_client_free(i->auth);
        i->auth = NULL;
        status_finish(&i->status, on_status_written, i);
}

/* Limits the time for the leave request. */
static void leave_within_limit(struct instance *i)
{
        timer_start(i->wait, MILLISECONDS(TIMEOUT_LEAVE));
}

static void on_left(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct instance *i = ctx;
        (void)answer;
        error_free(err); /* on failure the cluster's record expires by itself */
        if (!i->has_stopped)
                timer_start(i->wait, MILLISECONDS(1)); /* in a later turn: the connection calls this function */
}

static void leave(struct instance *i)
{
        Cteleport__V1__LeaveRequest request = CTELEPORT__V1__LEAVE_REQUEST__INIT;
        request.process_nonce = i->process_nonce;
        rpc_client_unary(instance_auth(i),
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.v1.HostService/Leave",
                                 .response = &cteleport__v1__empty__descriptor,
                                 .within = MILLISECONDS(TIMEOUT_LEAVE),
                         },
                         &request.base, on_left, i);
}

static void on_client_to_leave(void *ctx, struct rpc_client *client, struct error *err)
{
        struct instance *i = ctx;
        error_free(err); /* on failure the cluster's record expires by itself */
        if (i->has_stopped)
                return;
        if (client != NULL)
                leave(i);
        else
                stop_now(i);
}

static void end_work(struct instance *i)
{
        i->is_stopping = true;
        timer_stop(i->wait);
        timer_stop(i->clock_check);
        timer_stop(i->store_again);
        label_values_free(i->labels);
        i->labels = NULL;
        presence_close(i->presence);
        i->presence = NULL;
}

/* Sends a leave request to the cluster, so that no user is offered a node that has stopped. */
static void on_stop(void *ctx)
{
        struct instance *i = ctx;
        if (i->is_stopping)
                return;
        end_work(i);
        if (!i->is_local && i->is_listed && instance_auth(i) != NULL) {
                leave_within_limit(i);
                leave(i);
        } else if (!i->is_local && i->is_listed && i->at.state == INSTANCE_AWAY) { /* connects once more to send it */
                leave_within_limit(i);
                auth_client_request(i->auth, on_client_to_leave, i);
        } else {
                stop_now(i);
        }
}

/* The cluster lists the host on: its next process opens a presence stream before the heartbeat is due. */
static void on_replace(void *ctx)
{
        struct instance *i = ctx;
        if (i->is_stopping)
                return;
        end_work(i);
        stop_now(i);
}

/* The slot of the sibling process `name`; SLOT_COUNT if no slot has that name. */
static enum slot_index slot_of_sibling(const struct instance *i, const char *name)
{
        enum slot_index n = 0;
        while (n < SLOT_COUNT && (i->slots[n].service == NULL || strcmp(i->slots[n].service, name) != 0))
                n++;
        return n;
}

/* The service manager shows this line: `systemctl status`. */
static void on_status_change(void *ctx)
{
        struct instance *i = ctx;
        AUTO(buf) line = BUF_MAX(STATUS_LINE_MAX);

        status_put_line(&i->status, &line);
        service_send(i->service, &(struct child_message){ .kind = CHILD_SENT_STATUS, .text = buf_c(&line) });
}

/* The number of tunnels of the service that has the fewest. */
static size_t fewest_tunnels(const struct instance *i)
{
        size_t fewest = SIZE_MAX;

        for (size_t n = 0; n < SLOT_COUNT; n++) {
                if (!i->slots[n].is_wanted || !i->slots[n].keeps_tunnels)
                        continue;
                size_t count = sibling_tunnels(i->siblings[n], i->slots[n].identity.host_id);
                fewest = count < fewest ? count : fewest;
        }
        return fewest;
}

static void on_tunnels(void *ctx)
{
        struct instance *i = ctx;
        bool had_tunnel = i->has_tunnel;
        size_t count = fewest_tunnels(i);
        i->has_tunnel = count > 0;
        status_set_tunnels(&i->status, count);
        if (i->has_tunnel != had_tunnel && i->is_listed && !i->is_stopping)
                instance_show_state(i);
}

static void on_app_names(void *ctx)
{
        struct instance *i = ctx;
        i->has_unreported_apps = true;
        instance_report_apps(i);
}

static void take_sibling(struct instance *i, enum slot_index n, int fd)
{
        i->siblings[n] = sibling_new(&i->loop, fd,
                                         (struct sibling_events){
                                                 .role = i->slots[n].role,
                                                 .identity = &i->slots[n].identity,
                                                 .is_in_place = &i->slots[n].is_in_place,
                                                 .auth_addr = i->auth_server.len == 0 ? "" : i->auth_server.ptr,
                                                 .proxies = i->slots[n].keeps_tunnels ? i->proxies : NULL,
                                                 .on_tunnels = i->slots[n].keeps_tunnels ? on_tunnels : NULL,
                                                 .apps = n == i->app_slot ? i->apps : NULL,
                                                 .on_names = on_app_names,
                                                 .ctx = i,
                                         },
                                         i->siblings[n]);
}

static void on_link(void *ctx, const char *name, int fd)
{
        struct instance *i = ctx;
        if (slot_of_sibling(i, name) != SLOT_COUNT) {
                take_sibling(i, slot_of_sibling(i, name), fd);
                return;
        }
        if (strcmp(name, "labels") == 0 && i->labels != NULL) {
                label_values_listen(i->labels, fd);
                return;
        }
        if (i->auth == NULL) {
                fd_close_at(&fd);
                return;
        }
        auth_client_use_link(i->auth, fd);
        if (i->is_requesting_auth)
                return;
        if (i->at.state == INSTANCE_WAIT || i->at.state == INSTANCE_START)
                timer_start(i->wait, MILLISECONDS(1));
}

static void on_own(void *ctx, const Cteleport__Internal__V1__Control *control, int fd)
{
        if (control->own_case == CTELEPORT__INTERNAL__V1__CONTROL__OWN_INSTANCE)
                member_connect_helper(ctx, control->instance->number, fd, control->instance->refusal);
        else
                fd_close_at(&fd);
}

static const struct service_events service_events = {
        .on_stop = on_stop, .on_replace = on_replace, .on_link = on_link, .on_own = on_own,
};

/* ---- main ------------------------------------------------------------------------------------------ */

static struct walltime age_of_host_id(const Cteleport__Internal__V1__Boot *boot)
{
        struct stat st;
        AUTO_MEM char *path = mem_printf("%s/host_uuid", boot->data_dir);
        return stat(path, &st) == 0 ? walltime_of_unix(st.st_mtim.tv_sec) : (struct walltime){ 0 };
}

static void fill_slots(struct instance *i)
{
        const struct service_row *own = services_of_process(i->service->row->name), *row;
        size_t count = SLOT_NODE;

        i->slots[SLOT_INSTANCE] = (struct slot){ .role = own->role.name.ptr, .title = own->title, .is_wanted = !i->is_local };
        for (size_t n = 0; (row = services_at(n)) != NULL; n++) {
                if (!services_is_present(row) || !row->role.is_joinable)
                        continue;
                if (count == SLOT_COUNT)
                        bug("the table of services has more than %d that join", SLOT_COUNT - 1);
                i->slots[count++] = (struct slot){
                        .role = row->role.name.ptr,
                        .service = row->name,
                        .title = row->title,
                        .is_wanted = service_is_here(i->boot, row->name),
                        .keeps_tunnels = row->kind != NULL,
                };
        }
}

static void find_apps(struct instance *i)
{
        static const Cteleport__V1__AppServiceConfig no_apps = CTELEPORT__V1__APP_SERVICE_CONFIG__INIT;
        const Cteleport__V1__AppServiceConfig *config = i->boot->config == NULL ? NULL : i->boot->config->app_service;
        i->app_slot = SLOT_COUNT;
        for (size_t n = 0; n < SLOT_COUNT; n++)
                if (i->slots[n].is_wanted && services_offers(str_of(i->slots[n].role), "app"))
                        i->app_slot = (enum slot_index)n;
        if (i->app_slot != SLOT_COUNT)
                i->apps = app_table_new(config != NULL ? config : &no_apps);
}

static struct error *read_boot(struct instance *i)
{
        static const Cteleport__V1__TeleportConfig no_config = CTELEPORT__V1__TELEPORT_CONFIG__INIT;
        static const Cteleport__Internal__V1__InstanceBoot no_own = CTELEPORT__INTERNAL__V1__INSTANCE_BOOT__INIT;
        const Cteleport__Internal__V1__Boot *boot = i->boot;
        i->own = boot->own_case == CTELEPORT__INTERNAL__V1__BOOT__OWN_INSTANCE ? boot->instance : &no_own;
        i->config = boot->config != NULL && boot->config->teleport != NULL ? boot->config->teleport : &no_config;
        i->is_local = service_is_here(boot, "auth");
        if (!i->is_local) {
                i->proxy_server = str_of(i->config->proxy_server);
                i->auth_server = str_of(i->config->auth_server);
                if (i->auth_server.len == 0 && i->config->n_auth_servers > 0)
                        i->auth_server = str_of(i->config->auth_servers[0]);
        }
        fill_slots(i);
        find_apps(i);
        const Cteleport__V1__JoinParams *params = i->config->join_params;
        i->join_options.method = params != NULL && params->method != NULL ? params->method : "token";
        i->join_options.host_name = boot->nodename;
        i->join_options.kept_keys = &i->join_keys;

        i->joined_before = age_of_host_id(boot);
        AUTO_MEM char *ca_path = mem_printf("%s/ca.cert", boot->data_dir);
        i->ca_file = BUF_MAX(CA_FILE_MAX);
        struct error *err = file_read(ca_path, &i->ca_file);
        if (err != NULL && err->code != ERROR_NOT_FOUND)
                return err; /* unreadable trust must not be taken for no configured trust */
        error_free(err);
        i->trust = (struct connect_trust){
                .ca_file_pem = buf_str(&i->ca_file),
                .stored = &i->slots[SLOT_INSTANCE].identity,
                .is_insecure = i->own->insecure,
        };
        /* On the machine of the Auth Service the socket pairs identify the processes. */
        if (!i->is_local)
                i->trust.pins = (struct ca_pins){ (const char *const *)i->own->ca_pins, i->own->n_ca_pins };
        i->join_options.pins = i->trust.pins;
        return NULL;
}

static bool has_labels(const struct instance *i)
{
        struct label_command commands[LIMIT_LABEL_COMMANDS];

        return label_commands(i->boot->config, commands) > 0;
}

static void on_label(void *ctx)
{
        struct instance *i = ctx;
        i->has_unreported_labels = true;
        instance_report_labels(i);
}

/*
 * Makes data_dir/proc the working directory, owned by the user of this process, who cannot enter the directories above it.
 * The process needs no other part of the data directory from here on.
 */
static struct error *take_dir(const struct instance *i)
{
        AUTO_MEM char *proc = mem_printf("%s/proc", i->boot->data_dir);

        TRY(sandbox_take_dir(&i->service->row->user, proc));
        struct error *err = sandbox_become_unprivileged(&i->service->row->user);
        if (err == NULL)
                err = dir_make(".", 0700); /* it exists: checks that only this user can access it */
        return err == NULL ? NULL : error_wrap(err, "%s", proc);
}

/* Beside its own Auth Service this process needs no network. */
static struct error *enter_sandbox(struct instance *i)
{
        static const char *const write[] = { ".", NULL };
        enum sandbox_kind kind = i->is_local ? SANDBOX_INSTANCE_LOCAL : i->service->row->sandbox;
        struct sandbox_paths paths = { .write = write };

        if (!i->is_local) /* a local process verifies no server by them */
                roots_read(&i->roots);
        TRY(take_dir(i));
        if (!i->is_local)
                paths.read = roots_paths(i->service->arena);
        TRY(sandbox_enter(kind, paths));
        roots_drop_if_open(&i->roots);
        i->trust.roots_pem = buf_str(&i->roots);
        log_debug("sandbox", LOG_C("has", sandbox_describe()));
        return NULL;
}

static void relink_auth(void *ctx)
{
        struct instance *i = ctx;
        service_relink(i->service, "auth");
}

static struct error *set_up(struct instance *i)
{
        uint8_t nonce[16];
        AUTO(buf) nonce_text = BUF_MAX(sizeof i->process_nonce);

        TRY(read_boot(i));
        if (i->is_local && i->slots[SLOT_PROXY].is_wanted)
                i->local_proxy = address_to_dial(str_of(service_listen_addr(i->boot, "proxy")), 3080);
        i->proxies = proxy_list_new((struct proxy_list_host){
                .proxy_server = i->proxy_server.ptr, .local_proxy = i->local_proxy, .host_id = i->boot->host_id });
        TRY(enter_sandbox(i));
        random_bytes(nonce, sizeof nonce);
        hex_encode(&nonce_text, str_of_bytes(nonce, sizeof nonce));
        memcpy(i->process_nonce, nonce_text.ptr, nonce_text.len);

        conversation_init(&i->at, &i->loop, states, INSTANCE_START, NULL, NULL);
        i->wait = timer_new(&i->loop, on_wait, i);
        i->renewal = timer_new(&i->loop, on_renewal, i);
        i->store_again = timer_new(&i->loop, on_store_again, i);
        i->backoff = (struct backoff){ .first = MILLISECONDS(PACE_RETRY_FIRST), .most = MILLISECONDS(PACE_RETRY_MAX) };
        status_init(&i->status, &i->loop, ".");
        identity_store_watch(i);
        certify_watch_clock(i);
        show_tunnels(i, false);
        i->status.on_change = on_status_change;
        i->status.on_change_ctx = i;
        TRY(service_control(i->service, &i->loop, &service_events, i));
        i->auth = auth_client_new(&i->loop, (struct auth_client_options){ .relink = i->is_local ? relink_auth : NULL, .ctx = i,
                                                                          .roots_pem = i->trust.roots_pem,
                                                                          .is_insecure = i->trust.is_insecure });
        int link = service_take_fd(i->service, "auth");
        if (link >= 0)
                auth_client_use_link(i->auth, link);
        for (enum slot_index n = 0; n < SLOT_COUNT; n++) {
                int fd = i->slots[n].service == NULL ? -1 : service_take_fd(i->service, i->slots[n].service);
                if (fd >= 0)
                        take_sibling(i, n, fd);
        }
        if (has_labels(i)) {
                i->labels = label_values_new(&i->loop, i->boot->config, on_label, i);
                int fd = service_take_fd(i->service, "labels");
                if (fd >= 0)
                        label_values_listen(i->labels, fd);
        }
        return NULL;
}

static void tear_down(struct instance *i)
{
        identity_store_release(i);
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                host_identity_release(&i->slots[n].identity);
                free(i->slots[n].refusal);
                free(i->slots[n].revision_asked);
        }
        for (size_t n = 0; n < SLOT_COUNT; n++)
                sibling_free(i->siblings[n]);
        proxy_list_free(i->proxies);
        free(i->local_proxy);
        free(i->own_host_id);
        free(i->certify_revision);
        free(i->ca_revision);
        host_keys_release(&i->join_keys);
        label_values_free(i->labels);
        app_table_free(i->apps);
        instance_hang_up(i);
        error_free(i->join_err);
        member_drop_helper(i);
        conversation_release(&i->at);
        timer_free(i->wait);
        timer_free(i->renewal);
        timer_free(i->clock_check);
        timer_free(i->store_again);
        cert_watch_free(i->cert_watch);
        status_release(&i->status);
        buf_release(&i->ca_file);
        buf_release(&i->roots);
        free(i->reported[0]);
        free(i->reported[1]);
        service_end(i->service);
        loop_release(&i->loop);
}

int instance_main(struct service *s)
{
        static struct instance the_instance;
        struct instance *i = &the_instance;
        i->service = s;
        i->boot = s->boot;
        /* One arena for all threads: the pool only ever holds small copies. */
        mallopt(M_ARENA_MAX, 1);

        struct error *err = loop_init(&i->loop, NULL);
        if (err == NULL)
                err = set_up(i);
        if (err != NULL) {
                service_fatal(s, err);
                return 1;
        }
        identity_store_load(i);
        for (size_t n = 0; n < SLOT_COUNT; n++) {
                if (i->slots[n].is_wanted && i->slots[n].service != NULL)
                        log_info("Service is starting", LOG_C("service", i->slots[n].title));
        }
        service_ready(s);
        instance_go_on(i);
        loop_run(&i->loop);
        tear_down(i);
        return 0;
}
