/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/child_message.h"
#include "api/service.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "rpc/pb.h"
#include "supervisor/internal.h"
#include "supervisor/journal.h"
#include "os/fdpass.h"

typedef Cteleport__Internal__V1__Boot boot_message;
typedef Cteleport__Internal__V1__Control control_message;

static bool is_dependent(const struct child *c)
{
        return c->row->follows != NULL;
}

static bool follows(const struct child *c, const struct child *of)
{
        return is_dependent(c) && strcmp(c->row->follows, child_name(of)) == 0;
}

/* ---- control messages ---------------------------------------------------------------------------------- */

static struct error *send_control(struct child *c, const control_message *control, int fd)
{
        size_t len = cteleport__internal__v1__control__get_packed_size(control);
        AUTO(secret) bytes = { mem_alloc(len + 1), len };

        cteleport__internal__v1__control__pack(control, (uint8_t *)bytes.ptr);
        return fdpass_send(c->control_fd, secret_str(&bytes), fd);
}

static void log_undelivered(struct child *c, struct error *err)
{
        if (err != NULL)
                log_warn("a service does not read the supervisor's messages", LOG_C("name", child_name(c)), LOG_ERR(err));
        error_free(err);
}

bool supervisor_send_with(struct child *c, const control_message *control, int fd)
{
        struct error *err = c->control_fd < 0 ? NULL : send_control(c, control, fd);
        bool is_sent = c->control_fd >= 0 && err == NULL;

        log_undelivered(c, err);
        return is_sent;
}

void supervisor_send(struct child *c, const control_message *control)
{
        (void)supervisor_send_with(c, control, -1);
}

void supervisor_send_keypairs(struct supervisor *s)
{
        Cteleport__Internal__V1__ProxyControl proxy = CTELEPORT__INTERNAL__V1__PROXY_CONTROL__INIT;
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        proxy.https_keypairs = s->keypairs.pairs;
        proxy.n_https_keypairs = s->keypairs.count;
        control.own_case = CTELEPORT__INTERNAL__V1__CONTROL__OWN_PROXY;
        control.proxy = &proxy;
        for (size_t i = 0; i < s->child_count; i++)
                if ((s->children[i].row->secrets & SERVICE_SECRET_WEB_KEYS) && child_lives(&s->children[i]))
                        supervisor_send(&s->children[i], &control);
}

void supervisor_send_reload(struct supervisor *s)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__RELOAD;
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].row->reloads && child_lives(&s->children[i]))
                        supervisor_send(&s->children[i], &control);
}

void supervisor_send_log(struct supervisor *s)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        const struct log_options options = service_log_options(s->launch->config, s->log_fd);

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__LOG;
        control.log_level = (uint32_t)options.level + 1;
        control.log_format = (uint32_t)options.format + 1;
        for (size_t i = 0; i < s->child_count; i++) {
                struct child *c = &s->children[i];

                /* SIGHUP wakes a process without an event loop: api/service.c. */
                if (child_lives(c) && supervisor_send_with(c, &control, s->log_fd) && is_dependent(c))
                        kill(c->pid, SIGHUP);
        }
        for (struct child *c = s->draining; c != NULL; c = c->next)
                (void)supervisor_send_with(c, &control, s->log_fd);
}

static void send_link(struct child *to, const struct child *from, int fd)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__LINK;
        control.name = pb_text(child_name(from));
        log_undelivered(to, send_control(to, &control, fd));
}

/* ---- links --------------------------------------------------------------------------------------------- */

/* The position of a child in a pairing, or -1. */
static int side_of(const struct pairing *p, const struct child *c)
{
        return p->ends[0] == c ? 0 : p->ends[1] == c ? 1 : -1;
}

/*
 * Gets an end for the process about to start; the caller closes it after the process has a copy. If the end
 * was stored, the sibling has the other end already. Otherwise the other end is sent to the sibling, or, if
 * the sibling does not run, stored for its start.
 */
static struct error *take_end(struct child *c, struct pairing *p, int side, int *ret_fd)
{
        struct child *sibling = p->ends[1 - side];
        int there;

        *ret_fd = p->waiting[side];
        p->waiting[side] = -1;
        if (*ret_fd >= 0)
                return NULL;
        TRY(socket_pair(ret_fd, &there));
        if (child_lives(sibling)) {
                send_link(sibling, c, there);
                close(there);
        } else {
                p->waiting[1 - side] = there;
        }
        return NULL;
}

/* Adds the ends of all links of c. The caller closes the ends in `fds`, also after a failure. */
static struct error *take_ends(struct child *c, struct child_fds *fds)
{
        for (size_t i = 0; i < c->sup->pairing_count; i++) {
                struct pairing *p = &c->sup->pairings[i];
                int side = side_of(p, c), fd;

                if (side < 0 || p->ends[1 - side]->state == CHILD_ABSENT)
                        continue;
                TRY(take_end(c, p, side, &fd));
                child_fds_add(fds, child_name(p->ends[1 - side]), fd);
        }
        return NULL;
}

/* Closes the stored ends of a process that has ended: they are of no use to its siblings. */
static void forget_ends(struct child *c)
{
        for (size_t i = 0; i < c->sup->pairing_count; i++) {
                int side = side_of(&c->sup->pairings[i], c);

                if (side < 0)
                        continue;
                fd_close_at(&c->sup->pairings[i].waiting[1 - side]);
                c->sup->pairings[i].waiting[1 - side] = -1;
        }
}

/* Sends a new link to two running processes that have lost theirs. */
static void link_again(struct child *c, struct child *sibling)
{
        int here, there;
        struct error *err = socket_pair(&here, &there);

        if (err != NULL) {
                log_undelivered(c, err);
                return;
        }
        log_warn("services that lost their link are linked again", LOG_C("name", child_name(c)),
                 LOG_C("sibling", child_name(sibling)));
        send_link(c, sibling, here);
        send_link(sibling, c, there);
        close(here);
        close(there);
}

/* ---- starting ------------------------------------------------------------------------------------------ */

/* Copies of the sections of a configuration that hold secrets, so that the secrets can be left out. */
struct trimmed_config {
        Cteleport__V1__Config config;
        Cteleport__V1__TeleportConfig teleport;
        Cteleport__V1__JoinParams join_params;
        Cteleport__V1__AuthConfig auth_service;
};

static Cteleport__V1__Config *trim(struct trimmed_config *t, const Cteleport__V1__Config *config,
                                   const struct service_process *row)
{
        t->config = *config;
        services_keep_sections(&t->config, row);
        if (config->teleport != NULL) {
                t->teleport = *config->teleport;
                t->config.teleport = &t->teleport;
                t->teleport.auth_token = NULL; /* Boot.token has the resolved token */
                if (t->teleport.join_params != NULL) {
                        t->join_params = *t->teleport.join_params;
                        t->join_params.token_name = NULL;
                        t->teleport.join_params = &t->join_params;
                }
        }
        if (t->config.auth_service != NULL && !(row->secrets & SERVICE_SECRET_STATIC_TOKENS)) {
                t->auth_service = *t->config.auth_service;
                t->auth_service.n_tokens = 0;
                t->config.auth_service = &t->auth_service;
        }
        return &t->config;
}

/* A Boot message and the parts to which it points, until it is packed. */
struct boot_parts {
        boot_message boot;
        struct trimmed_config trimmed;
        char *services[SERVICE_ROWS_MAX];
        Cteleport__Internal__V1__ListenAddress addresses[SERVICES_PROCESSES_MAX];
        Cteleport__Internal__V1__ListenAddress *listen_addrs[SERVICES_PROCESSES_MAX];
        Cteleport__Internal__V1__ProxyBoot proxy;
        Cteleport__Internal__V1__InstanceBoot instance;
        Cteleport__Internal__V1__SshBoot ssh;
        Cteleport__Internal__V1__AgentBoot agent;
};

static void fill_services(struct boot_parts *parts, const struct supervisor *s)
{
        const struct service_row *row;

        parts->boot.services = parts->services;
        parts->boot.listen_addrs = parts->listen_addrs;
        for (size_t i = 0; (row = services_at(i)) != NULL; i++)
                if (row->section != NULL && services_is_present(row) && services_is_enabled(s->launch->config, row))
                        parts->services[parts->boot.n_services++] = pb_text(row->name);
        for (size_t i = 0; i < s->listener_count; i++) {
                Cteleport__Internal__V1__ListenAddress *address = &parts->addresses[i];

                if (s->listeners[i].address[0] == '\0')
                        continue;
                cteleport__internal__v1__listen_address__init(address);
                address->service = pb_text(s->listeners[i].process->name);
                address->addr = pb_text(s->listeners[i].address);
                address->listener = pb_text(s->listeners[i].row->name);
                parts->listen_addrs[parts->boot.n_listen_addrs++] = address;
        }
}

/* Adds the part that only this process receives, by the secrets and the requests of its row. */
static void fill_own(struct boot_parts *parts, const struct child *c)
{
        const struct supervisor *s = c->sup;

        if (c->row->secrets & SERVICE_SECRET_WEB_KEYS) {
                cteleport__internal__v1__proxy_boot__init(&parts->proxy);
                parts->proxy.https_keypairs = (Cteleport__Internal__V1__HttpsKeyPair **)(uintptr_t)s->keypairs.pairs;
                parts->proxy.n_https_keypairs = s->keypairs.count;
                parts->boot.own_case = CTELEPORT__INTERNAL__V1__BOOT__OWN_PROXY;
                parts->boot.proxy = &parts->proxy;
        } else if (c->row->secrets & SERVICE_SECRET_JOIN_TOKEN) {
                cteleport__internal__v1__instance_boot__init(&parts->instance);
                if (s->launch->token.len > 0)
                        parts->instance.token = s->launch->token.ptr;
                parts->instance.ca_pins = pb_texts(s->launch->ca_pins);
                parts->instance.n_ca_pins = s->launch->ca_pin_count;
                parts->instance.insecure = s->launch->insecure;
                parts->boot.own_case = CTELEPORT__INTERNAL__V1__BOOT__OWN_INSTANCE;
                parts->boot.instance = &parts->instance;
        } else if (c->row->requests & SERVICE_REQUEST_SSHD) {
                cteleport__internal__v1__ssh_boot__init(&parts->ssh);
                parts->ssh.helpers_address = c->helpers_address;
                parts->ssh.authorize_uid = s->accounts.authorize_uid;
                parts->ssh.insecure = s->launch->insecure;
                parts->ssh.takes_connected = true;
                parts->boot.own_case = CTELEPORT__INTERNAL__V1__BOOT__OWN_SSH;
                parts->boot.ssh = &parts->ssh;
        } else if (services_of_process(c->row->name)->kind != NULL) {
                cteleport__internal__v1__agent_boot__init(&parts->agent);
                parts->agent.insecure = s->launch->insecure;
                parts->agent.takes_connected = true;
                parts->boot.own_case = CTELEPORT__INTERNAL__V1__BOOT__OWN_AGENT;
                parts->boot.agent = &parts->agent;
        }
}

/*
 * The supervisor has looked up the user, so that no service loads the libraries of the account database. If that failed, the child
 * reports the error.
 */
static void fill_user(boot_message *boot, const struct child *c)
{
        uid_t uid;
        gid_t gid;

        supervisor_account_of(c->sup, c->row, &uid, &gid);
        boot->uid = uid;
        boot->gid = gid;
}

static void fill_boot(struct boot_parts *parts, const struct child *c, const struct child_fds *fds)
{
        const struct launch *l = c->sup->launch;

        cteleport__internal__v1__boot__init(&parts->boot);
        parts->boot.service = pb_text(child_name(c));
        parts->boot.config = trim(&parts->trimmed, l->config, c->row);
        parts->boot.data_dir = pb_text(l->data_dir);
        parts->boot.nodename = pb_text(l->nodename);
        parts->boot.fds = pb_texts(fds->names);
        parts->boot.n_fds = fds->count;
        parts->boot.restarts = c->starts;
        parts->boot.host_id = c->sup->host_id;
        fill_user(&parts->boot, c);
        fill_services(parts, c->sup);
        fill_own(parts, c);
}

static struct error *spawn_with(struct child *c, struct child_fds *fds)
{
        struct supervisor *s = c->sup;
        struct boot_parts parts;

        AUTO_FD int helpers = -1, journal = -1;
        size_t links = fds->count;
        for (size_t i = 0; i < s->listener_count; i++)
                if (s->listeners[i].process == c->row)
                        child_fds_add(fds, s->listeners[i].row->name, s->listeners[i].fd);
        if (c->row->requests & SERVICE_REQUEST_SSHD) {
                TRY(supervisor_open_helpers(c, &helpers));
                child_fds_add(fds, "helpers", helpers);
        }
        supervisor_add_metrics(c, fds);
        if (s->journal_fd >= 0) {
                /* A socket of its own: one that processes share could be shut down by a compromised one. Without a socket, the lines go to
                   standard error, with their priority. */
                journal = c->row->has_no_journal ? open("/dev/null", O_WRONLY | O_CLOEXEC) : journal_open();
                if (journal >= 0) /* else its lines go to standard error */
                        child_fds_add(fds, SERVICE_FD_JOURNAL, journal);
        }
        fill_boot(&parts, c, fds);
        struct error *err = child_spawn(c->row, &parts.boot, fds, s->log_fd, s->program.fd, &c->pid, &c->control_fd);
        fds->count = links; /* the supervisor keeps the listening sockets and the memory of the metrics */
        return err;
}

static void on_control(uv_poll_t *poll, int status, int events);

static struct error *listen_to(struct child *c)
{
        c->control = NEW(uv_poll_t);
        c->control->data = c;
        int status = uv_poll_init(&c->sup->loop.uv, c->control, c->control_fd);
        if (status < 0) {
                free(c->control);
                c->control = NULL;
                return error_errno(-status, "cannot listen to '%s'", child_name(c));
        }
        uv_poll_start(c->control, UV_READABLE, on_control);
        return NULL;
}

struct error *supervisor_start(struct child *c)
{
        struct child_fds fds = { .count = 0 };
        struct error *err = NULL;

        if (c->starts > 0)
                err = supervisor_read_host_id(c->sup); /* a host that has joined meanwhile has an ID */
        if (c->starts > 0 && err == NULL)
                err = supervisor_look_up_accounts(c->sup); /* its account may be new */
        if (err == NULL)
                err = take_ends(c, &fds);
        if (err == NULL)
                err = spawn_with(c, &fds);
        for (size_t i = 0; i < fds.count; i++)
                close(fds.fds[i]);
        if (err != NULL)
                return err;
        c->state = CHILD_STARTING;
        c->started = loop_now(&c->sup->loop);
        c->has_reported_fatal = c->was_reported = c->is_replaced = false;
        c->starts++;
        supervisor_reload_started(c);
        supervisor_note_phase(c);
        c->unanswered = 0;
        log_debug("service started", LOG_C("name", child_name(c)), LOG_INT("pid", c->pid));
        return listen_to(c);
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

static void received_ready(struct child *c)
{
        if (c->state != CHILD_STARTING)
                return;
        c->state = CHILD_READY;
        supervisor_note_phase(c);
        if (supervisor_reload_ready(c)) {
                supervisor_report_status(c->sup);
                return;
        }
        if (c->starts > 1)
                log_info("service is back", LOG_C("name", child_name(c)));
        supervisor_on_ready(c->sup);
        supervisor_report_status(c->sup);
}

/*
 * Whether the row of a process names a sibling that starts earlier and serves it. Such a sibling also serves former processes beside the
 * current one: they report their connections to `auth`, with certificates from `instance`.
 */
static bool is_client_of(const struct service_process *row, const char *name)
{
        for (const char *const *link = row->links; *link != NULL; link++)
                if (strcmp(*link, name) == 0)
                        return true;
        return false;
}

static void received_relink(struct child *c, const char *name)
{
        struct instant now = loop_now(&c->sup->loop);

        if (c->sup->end != RUNNING || duration_ms(instant_since(now, c->relinked)) < PACE_RELINK / 2)
                return; /* limits the rate of a faulty service */
        c->relinked = now;
        const struct child *current = supervisor_child(c->sup, child_name(c));
        if (c != current && !is_client_of(c->row, name))
                return;
        for (size_t i = 0; i < c->sup->pairing_count; i++) {
                int side = side_of(&c->sup->pairings[i], current);
                struct child *sibling = side < 0 ? NULL : c->sup->pairings[i].ends[1 - side];

                if (sibling != NULL && child_lives(sibling) && strcmp(child_name(sibling), name) == 0)
                        link_again(c, sibling);
        }
}

/*
 * Whether a fatal error ends `teleport`, for the operator to see: before all services were ready, and for vital services. Any
 * other service is killed and respawned after a pause: messages of a compromised service must not stop the other services.
 */
static bool ends_everything(const struct child *c)
{
        return !c->sup->was_ready || c->row->is_vital;
}

static void received_fatal(struct child *c, const struct child_message *m)
{
        struct error *err = error_new(ERROR_FAILED_PRECONDITION, "%s: %s", child_name(c), m->text);

        if (m->hint[0] != '\0')
                err = error_hint(err, "%s", m->hint);
        if (c->sup->was_ready && !c->has_reported_fatal)
                log_error("a service cannot go on", LOG_C("name", child_name(c)), LOG_ERR(err));
        c->has_reported_fatal = true;
        const struct child *leader = is_dependent(c) ? supervisor_child(c->sup, c->row->follows) : c;
        if (supervisor_reload_awaits(leader) && child_lives(leader)) { /* the former program or configuration may help */
                supervisor_reload_note(c, err);
                kill(leader->pid, SIGKILL);
                return;
        }
        if (ends_everything(c)) {
                supervisor_stop(c->sup, err);
                return;
        }
        error_free(err);
        if (child_lives(c))
                kill(c->pid, SIGKILL);
}

/* Handles a request that the row of the service allows. `fd` came with the request and is borrowed; -1: none. */
static void received_own(struct child *c, const struct child_message *m, int fd)
{
        struct supervisor *s = c->sup;

        if (m->kind == CHILD_SENT_SSHD_START)
                supervisor_start_sshd(c, m->name);
        else if (m->kind == CHILD_SENT_SSHD_STOP)
                supervisor_stop_sshd(c, m->name);
        else if (m->kind == CHILD_SENT_HELPER_CHECK)
                supervisor_check_helper(c, m->name, m->number, fd);
        else if (m->kind == CHILD_SENT_AWS_SIGN)
                supervisor_sign(s, m->number);
        else if (m->kind == CHILD_SENT_HOST_ID)
                supervisor_take_host_id(s, m->name);
        else if (m->kind == CHILD_SENT_STATUS)
                supervisor_take_membership(s, m->text);
}

static void received_connected(const struct child *c);

static void received(struct child *c, const struct child_message *m, int fd)
{
        if (m->kind == CHILD_SENT_READY)
                received_ready(c);
        else if (m->kind == CHILD_SENT_RELINK)
                received_relink(c, m->name);
        else if (m->kind == CHILD_SENT_FATAL)
                received_fatal(c, m);
        else if (m->kind == CHILD_SENT_ALIVE)
                c->unanswered = 0;
        else if (m->kind == CHILD_SENT_CONNECTED)
                received_connected(c);
        else if (child_lives(c) && (c->row->requests & child_message_right(m->kind)))
                received_own(c, m, fd);
}

/* No service sends invalid messages: a process that does is not trusted, and is killed. */
static void refuse_message(struct child *c, struct error *err)
{
        uv_poll_stop(c->control);
        if (child_lives(c)) {
                log_error("a service sent an invalid message and is killed", LOG_C("name", child_name(c)), LOG_ERR(err));
                kill(c->pid, SIGKILL);
        }
        error_free(err);
}

/* Receives and handles one message of a child; false if there is none. */
static bool receive(struct child *c)
{
        char buffer[CHILD_MESSAGE_MAX];
        size_t len = 0;
        AUTO_FD int fd = -1;
        struct child_message m;
        struct error *err = fdpass_receive(c->control_fd, buffer, sizeof(buffer), &len, &fd);

        if (err != NULL && err->code == ERROR_UNAVAILABLE) { /* no message yet */
                error_free(err);
                return false;
        }
        if (err == NULL && len == 0) { /* the child has closed its end, and SIGCHLD will report its exit */
                uv_poll_stop(c->control);
                return false;
        }
        if (err == NULL)
                err = child_message_parse(str_of_bytes(buffer, len), &m);
        if (err != NULL) {
                refuse_message(c, err);
                return false;
        }
        received(c, &m, fd);
        return true;
}

/* Handles at most `budget` messages of a child, so that a turn of the loop also handles the messages of the others. */
static void receive_some(struct child *c, size_t budget)
{
        while (budget-- > 0 && c->control_fd >= 0 && receive(c))
                ;
}

static void on_control(uv_poll_t *poll, int status, int events)
{
        (void)status;
        (void)events;
        receive_some(poll->data, LIMIT_CHILD_MESSAGES_PER_TURN);
}

/* ---- respawning --------------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
        free(handle);
}

static void close_control(struct child *c)
{
        if (c->control != NULL) {
                uv_close((uv_handle_t *)c->control, on_poll_closed);
                c->control = NULL;
        }
        fd_close_at(&c->control_fd);
        c->control_fd = -1;
}

static void come_back(struct child *c);

static void on_restart(void *ctx)
{
        come_back(ctx);
}

static void plan_restart(struct child *c, struct duration pause)
{
        c->state = CHILD_PAUSING;
        if (c->restart == NULL)
                c->restart = timer_new(&c->sup->loop, on_restart, c);
        timer_start(c->restart, pause);
}

static void pause_before_restart(struct child *c, const char *exit_text, enum log_level level)
{
        struct duration lived = instant_since(loop_now(&c->sup->loop), c->started);

        if (duration_ms(lived) >= TIMEOUT_RESTART_RESET)
                backoff_reset(&c->pause);
        struct duration pause = backoff_next(&c->pause);
        log_write(level, "service ended and will be started again", LOG_C("name", child_name(c)), LOG_C("exit", exit_text),
                  LOG_INT("pause_ms", duration_ms(pause)), LOG_INT("lived_ms", duration_ms(lived)));
        plan_restart(c, pause);
}

/* Dependents serve only the process that they follow, and its next start makes new links to them. */
static void end_dependents(const struct child *of)
{
        for (size_t i = 0; i < of->sup->child_count; i++) {
                struct child *c = &of->sup->children[i];

                if (follows(c, of) && child_lives(c))
                        kill(c->pid, SIGKILL);
        }
}

/* Also those that wait for the end of a pause: the process that they follow would wait for them in vain, and give up. */
static void start_dependents(const struct child *of)
{
        for (size_t i = 0; i < of->sup->child_count; i++) {
                struct child *c = &of->sup->children[i];

                if (!follows(c, of) || (c->state != CHILD_STOPPED && c->state != CHILD_PAUSING))
                        continue;
                if (c->restart != NULL)
                        timer_stop(c->restart);
                come_back(c);
        }
}

static bool some_dependent_lives(const struct child *of)
{
        for (size_t i = 0; i < of->sup->child_count; i++)
                if (follows(&of->sup->children[i], of) && child_lives(&of->sup->children[i]))
                        return true;
        return false;
}

/* Whether c follows another process, and that process does not run. */
static bool has_lost_leader(const struct child *c)
{
        return is_dependent(c) && !child_lives(supervisor_child(c->sup, c->row->follows));
}

static void come_back(struct child *c)
{
        struct error *err;

        if (has_lost_leader(c)) {
                c->state = CHILD_STOPPED; /* its end was seen before the end of the process it follows, which was the cause */
                return;
        }
        if (some_dependent_lives(c)) { /* killed, not reaped yet */
                timer_start(c->restart, MILLISECONDS(PACE_RESTART_FIRST));
                return;
        }
        err = supervisor_start(c);
        if (err != NULL) {
                AUTO_MEM char *exit_text = mem_printf("did not start: %s", err->what);

                error_free(err);
                if (!child_lives(c) && !supervisor_reload_ended(c, exit_text))
                        pause_before_restart(c, exit_text, LOG_WARN);
                return;
        }
        start_dependents(c);
}

/* ---- replacing ------------------------------------------------------------------------------------------ */

void supervisor_start_again(struct child *c)
{
        plan_restart(c, SECONDS(0));
}

/* Returns whether the order was sent. */
static bool order_to_leave(struct child *c)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__REPLACE;
        c->is_replaced = true;
        return supervisor_send_with(c, &control, -1);
}

void supervisor_replace(struct child *c)
{
        (void)order_to_leave(c); /* TIMEOUT_RELOAD_STEP limits the time of a process that does not read it */
}

/* No timeout applies to a former process: an order that does not fit into its socket is repeated. */
static void order_former_to_leave(void *ctx)
{
        struct child *former = ctx;

        if (former->control_fd < 0 || order_to_leave(former))
                return;
        if (former->restart == NULL)
                former->restart = timer_new(&former->sup->loop, order_former_to_leave, former);
        timer_start(former->restart, MILLISECONDS(PACE_REPLACE_AGAIN));
}

static void free_child(struct child *c)
{
        timer_free(c->restart);
        free(c->helpers_address);
        free(c);
}

void supervisor_set_aside(struct child *c)
{
        struct child *former = NEW(struct child);

        *former = *c;
        former->restart = NULL;
        former->next = c->sup->draining;
        c->sup->draining = former;
        if (former->control != NULL)
                former->control->data = former;
        c->control = NULL;
        c->control_fd = -1;
        c->helpers_address = NULL;
        c->state = CHILD_EXITED;
        c->pid = 0;
        c->former = former;
}

static void take_out(struct supervisor *s, const struct child *former)
{
        struct child **at = &s->draining;

        while (*at != former)
                at = &(*at)->next;
        *at = former->next;
}

void supervisor_drain_former(struct child *c)
{
        if (c->former != NULL)
                order_former_to_leave(c->former);
        c->former = NULL;
}

/* The new process can take over all new work: its former processes need not wait any longer. */
static void received_connected(const struct child *c)
{
        if (c != supervisor_child(c->sup, child_name(c)))
                return; /* a former process itself */
        for (struct child *former = c->sup->draining; former != NULL; former = former->next)
                if (former->row == c->row && former != c->former)
                        order_former_to_leave(former);
}

void supervisor_take_back(struct child *c)
{
        struct child *former = c->former;

        take_out(c->sup, former);
        free(c->helpers_address);
        c->helpers_address = former->helpers_address;
        c->state = former->state;
        c->pid = former->pid;
        c->control = former->control;
        c->control_fd = former->control_fd;
        if (c->control != NULL)
                c->control->data = c;
        c->former = NULL;
        free(former);
        supervisor_note_phase(c);
}

void supervisor_release_draining(struct supervisor *s)
{
        for (struct child *c = s->draining, *next; c != NULL; c = next) {
                next = c->next;
                free_child(c);
        }
        s->draining = NULL;
        for (size_t i = 0; i < s->child_count; i++)
                free(s->children[i].helpers_address);
}

/* ---- reaping -------------------------------------------------------------------------------------------- */

/* A former process has ended. Files that it leaves are for the current one, which looks for them on RELOAD. */
static void reap_draining(struct child *former, int wait_status)
{
        struct supervisor *s = former->sup;
        struct child *current = supervisor_child(s, child_name(former));
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;
        AUTO_MEM char *exit_text = child_exit_text(wait_status);

        former->state = CHILD_EXITED;
        close_control(former);
        if (former->row->requests & SERVICE_REQUEST_SSHD)
                supervisor_stop_sshd_of(s, former->pid);
        log_info("The former process of a service has ended", LOG_C("name", child_name(former)), LOG_INT("pid", former->pid), LOG_C("exit", exit_text));
        if (current->former == former) {
                current->former = NULL;
                supervisor_note_phase(current);
        }
        take_out(s, former);
        free_child(former);
        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__RELOAD;
        if (s->end == RUNNING && current->row->reloads && child_lives(current))
                supervisor_send(current, &control);
        if (s->end != RUNNING)
                supervisor_stop_next(s);
}

static void reap_all_draining(struct supervisor *s)
{
        for (struct child *c = s->draining, *next; c != NULL; c = next) {
                int status;

                next = c->next;
                if (waitpid(c->pid, &status, WNOHANG) != c->pid)
                        continue;
                receive_some(c, LIMIT_CHILD_LAST_MESSAGES);
                reap_draining(c, status);
        }
}

static void reap(struct child *c, int wait_status)
{
        struct supervisor *s = c->sup;
        AUTO_MEM char *exit_text = child_exit_text(wait_status);
        bool was_ready = c->state == CHILD_READY;

        c->state = CHILD_EXITED;
        supervisor_note_phase(c);
        close_control(c);
        forget_ends(c);
        if (c->row->requests & SERVICE_REQUEST_SSHD)
                supervisor_stop_sshd_of(s, c->pid); /* no process reports their sessions any more */
        if (c->row->requests & SERVICE_REQUEST_AWS_SIGN)
                supervisor_stop_sign(s);
        if (s->end != RUNNING) {
                log_debug("service ended", LOG_C("name", child_name(c)), LOG_C("exit", exit_text));
                supervisor_stop_next(s);
        } else if (!s->was_ready) {
                supervisor_stop(s,
                                error_hint(error_new(ERROR_UNAVAILABLE, "the service '%s' %s before %s", child_name(c),
                                                     exit_text, was_ready ? "the others were ready" : "it was ready"),
                                           "the lines above this one may show why"));
        } else if (has_lost_leader(c)) {
                c->state = CHILD_STOPPED;
        } else if (supervisor_reload_ended(c, exit_text)) {
                end_dependents(c);
        } else {
                /* A dependent with status 0 saw its link close; the kernel may report its end before the end of the other. */
                bool is_update = !is_dependent(c) || wait_status != 0;

                pause_before_restart(c, exit_text, is_update ? LOG_WARN : LOG_DEBUG);
                end_dependents(c);
        }
}

void supervisor_reap(struct supervisor *s)
{
        bool is_dead[SERVICES_PROCESSES_MAX] = { 0 };
        int statuses[SERVICES_PROCESSES_MAX];

        /* Handles last messages, and collects all exits before reaping: the end of a dependent is no failure of its own if the
         * process that it follows has ended too. */
        for (size_t i = 0; i < s->child_count; i++) {
                struct child *c = &s->children[i];

                is_dead[i] = child_lives(c) && waitpid(c->pid, &statuses[i], WNOHANG) == c->pid;
                if (is_dead[i])
                        receive_some(c, LIMIT_CHILD_LAST_MESSAGES);
        }
        for (size_t i = 0; i < s->child_count; i++)
                if (is_dead[i] && !is_dependent(&s->children[i]))
                        reap(&s->children[i], statuses[i]);
        for (size_t i = 0; i < s->child_count; i++)
                if (is_dead[i] && is_dependent(&s->children[i]))
                        reap(&s->children[i], statuses[i]);
        reap_all_draining(s);
        supervisor_reap_sign(s);
        supervisor_reap_sshd(s);
        supervisor_reap_check(s);
        supervisor_report_status(s);
}
