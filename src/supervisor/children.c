/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/child_message.h"
#include "base/bug.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/secret.h"
#include "supervisor/internal.h"
#include "os/fdpass.h"

typedef Cteleport__Internal__V1__Boot boot_message;
typedef Cteleport__Internal__V1__Control control_message;

static char *lend(const char *text)
{
        return (char *)(uintptr_t)text; /* protobuf-c has no const; packing only reads */
}

/* ---- talking ------------------------------------------------------------------------------------------- */

static struct error *send_control(struct child *c, const control_message *control, int fd)
{
        size_t len = cteleport__internal__v1__control__get_packed_size(control);
        AUTO(secret) bytes = { mem_alloc(len + 1), len };

        cteleport__internal__v1__control__pack(control, (uint8_t *)bytes.ptr);
        return fdpass_send(c->control_fd, secret_str(&bytes), fd);
}

static void log_unheard(struct child *c, struct error *err)
{
        if (err != NULL)
                log_warn("a service does not read our messages", LOG_C("name", child_name(c)), LOG_ERR(err));
        error_free(err);
}

bool supervisor_send_with(struct child *c, const control_message *control, int fd)
{
        struct error *err = c->control_fd < 0 ? NULL : send_control(c, control, fd);
        bool is_sent = c->control_fd >= 0 && err == NULL;

        log_unheard(c, err);
        return is_sent;
}

void supervisor_send(struct child *c, const control_message *control)
{
        (void)supervisor_send_with(c, control, -1);
}

void supervisor_send_keypairs(struct supervisor *s)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__HTTPS_KEYPAIRS;
        control.https_keypairs = s->keypairs.pairs;
        control.n_https_keypairs = s->keypairs.count;
        if (child_lives(&s->children[CHILD_PROXY]))
                supervisor_send(&s->children[CHILD_PROXY], &control);
}

void supervisor_send_log(struct supervisor *s)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__LOG;
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++) {
                struct child *c = &s->children[kind];

                /* Who has no loop to hear it with is woken: api/service.c. */
                if (child_lives(c) && supervisor_send_with(c, &control, s->log_fd) && child_rows[kind].is_follower)
                        kill(c->pid, SIGHUP);
        }
}

static void send_link(struct child *to, enum child_kind from, int fd)
{
        control_message control = CTELEPORT__INTERNAL__V1__CONTROL__INIT;

        control.kind = CTELEPORT__INTERNAL__V1__CONTROL__KIND__LINK;
        control.name = lend(child_rows[from].name);
        log_unheard(to, send_control(to, &control, fd));
}

/* ---- links --------------------------------------------------------------------------------------------- */

/* The position of kind in a pairing, or -1. */
static int side_of(const struct pairing_row *row, enum child_kind kind)
{
        return row->ends[0] == kind ? 0 : row->ends[1] == kind ? 1 : -1;
}

/*
 * An end for the process about to start (to be closed after it has its copy). If it was left waiting, its
 * other end is in place already; otherwise the other end goes to the neighbour: at once if it lives and
 * listens, else it waits for it.
 */
static struct error *take_end(struct child *c, size_t index, int side, int *ret_fd)
{
        struct pairing *p = &c->sup->pairings[index];
        struct child *sibling = &c->sup->children[pairing_rows[index].ends[1 - side]];
        int there;

        *ret_fd = p->waiting[side];
        p->waiting[side] = -1;
        if (*ret_fd >= 0)
                return NULL;
        TRY(socket_pair(ret_fd, &there));
        if (child_lives(sibling)) {
                send_link(sibling, c->kind, there);
                close(there);
        } else {
                p->waiting[1 - side] = there;
        }
        return NULL;
}

static void add_fd(struct child_fds *fds, const char *name, int fd)
{
        if (fds->count == CHILD_FDS_MAX)
                bug("a service with more than %d descriptors", CHILD_FDS_MAX);
        fds->names[fds->count] = name;
        fds->fds[fds->count++] = fd;
}

/* Adds the ends of all links of c; also after a failure those that were taken are to be closed. */
static struct error *take_ends(struct child *c, struct child_fds *fds)
{
        for (size_t i = 0; i < PAIRING_COUNT; i++) {
                int side = side_of(&pairing_rows[i], c->kind), fd;

                if (side < 0 || c->sup->children[pairing_rows[i].ends[1 - side]].state == CHILD_ABSENT)
                        continue;
                TRY(take_end(c, i, side, &fd));
                add_fd(fds, child_rows[pairing_rows[i].ends[1 - side]].name, fd);
        }
        return NULL;
}

/* What waits for a neighbour is of no use to it when this end is dead. */
static void forget_ends(struct child *c)
{
        for (size_t i = 0; i < PAIRING_COUNT; i++) {
                int side = side_of(&pairing_rows[i], c->kind);

                if (side < 0)
                        continue;
                fd_close_at(&c->sup->pairings[i].waiting[1 - side]);
                c->sup->pairings[i].waiting[1 - side] = -1;
        }
}

/* Neither of two that live has a link to the other any more: both get a new one. */
static void link_again(struct child *c, struct child *sibling)
{
        int here, there;
        struct error *err = socket_pair(&here, &there);

        if (err != NULL) {
                log_unheard(c, err);
                return;
        }
        log_warn("services that lost touch are linked again", LOG_C("name", child_name(c)),
                 LOG_C("neighbour", child_name(sibling)));
        send_link(c, sibling->kind, here);
        send_link(sibling, c->kind, there);
        close(here);
        close(there);
}

/* ---- starting ------------------------------------------------------------------------------------------ */

/* Copies of the parts of a configuration that hold secrets, so that these can be left out. */
struct trimmed_config {
        Cteleport__V1__Config config;
        Cteleport__V1__TeleportConfig teleport;
        Cteleport__V1__JoinParams join_params;
        Cteleport__V1__AuthConfig auth_service;
};

static Cteleport__V1__Config *trim(struct trimmed_config *t, const Cteleport__V1__Config *config,
                                   const struct child_row *row)
{
        t->config = *config;
        if (config->teleport != NULL) {
                t->teleport = *config->teleport;
                t->config.teleport = &t->teleport;
                t->teleport.auth_token = NULL; /* Boot.token has it, resolved */
                if (t->teleport.join_params != NULL) {
                        t->join_params = *t->teleport.join_params;
                        t->join_params.token_name = NULL;
                        t->teleport.join_params = &t->join_params;
                }
        }
        if (config->auth_service != NULL && !row->gets_static_tokens) {
                t->auth_service = *config->auth_service;
                t->auth_service.n_tokens = 0;
                t->config.auth_service = &t->auth_service;
        }
        return &t->config;
}

static void fill_boot(const struct child *c, const struct child_fds *fds, char **services,
                      struct trimmed_config *trimmed, boot_message *boot)
{
        static const char *const service_names[] = { "auth", "proxy", "ssh" };
        const struct supervisor *s = c->sup;
        const struct launch *l = s->launch;
        const struct child_row *row = &child_rows[c->kind];

        boot->service = lend(row->name);
        boot->config = trim(trimmed, l->config, row);
        boot->data_dir = lend(l->data_dir);
        boot->nodename = lend(l->nodename);
        boot->fds = (char **)(uintptr_t)fds->names;
        boot->n_fds = fds->count;
        boot->insecure = l->insecure;
        boot->auth_listen_addr = lend(s->auth_address);
        boot->proxy_listen_addr = lend(s->proxy_address);
        boot->restarts = c->starts;
        boot->host_id = s->host_id;
        if (row->gets_keypairs) {
                boot->https_keypairs = (Cteleport__Internal__V1__HttpsKeyPair **)(uintptr_t)s->keypairs.pairs;
                boot->n_https_keypairs = s->keypairs.count;
        }
        if (row->gets_join_token && l->token.len > 0)
                boot->token = l->token.ptr;
        boot->ca_pins = (char **)(uintptr_t)l->ca_pins;
        boot->n_ca_pins = l->ca_pin_count;
        for (size_t i = 0; i < ARRAY_LEN(service_names); i++)
                if (config_service_enabled(l->config, service_names[i]))
                        services[boot->n_services++] = lend(service_names[i]);
        boot->services = services;
}

static struct error *spawn_with(struct child *c, struct child_fds *fds)
{
        struct supervisor *s = c->sup;
        boot_message boot = CTELEPORT__INTERNAL__V1__BOOT__INIT;
        struct trimmed_config trimmed;
        char *services[3];

        AUTO_FD int helpers = -1;
        size_t links = fds->count;
        if (c->kind == CHILD_AUTH) {
                add_fd(fds, "listen", s->auth_fd);
                add_fd(fds, "auth.sock", s->auth_unix_fd);
        } else if (c->kind == CHILD_PROXY) {
                add_fd(fds, "listen", s->proxy_fd);
        } else if (c->kind == CHILD_SSH) {
                TRY(supervisor_open_helpers(s, &helpers));
                add_fd(fds, "helpers", helpers);
                boot.helpers_address = s->helpers_address;
                boot.authorize_uid = s->authorize_uid;
        }
        fill_boot(c, fds, services, &trimmed, &boot);
        struct error *err = child_spawn(c->kind, &boot, fds, s->log_fd, &c->pid, &c->control_fd);
        fds->count = links; /* the listening sockets stay ours */
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
                err = supervisor_read_host_id(c->sup); /* a host that has joined since has one */
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
        c->has_spoken_fatal = c->was_reported = false;
        c->starts++;
        log_debug("service started", LOG_C("name", child_name(c)), LOG_INT("pid", c->pid));
        return listen_to(c);
}

/* ---- hearing ------------------------------------------------------------------------------------------- */

static void received_ready(struct child *c)
{
        if (c->state != CHILD_STARTING)
                return;
        c->state = CHILD_READY;
        if (c->starts > 1)
                log_info("service is back", LOG_C("name", child_name(c)));
        supervisor_on_ready(c->sup);
}

static void received_relink(struct child *c, const char *name)
{
        struct instant now = loop_now(&c->sup->loop);

        if (c->sup->end != RUNNING || duration_ms(instant_since(now, c->relinked)) < PACE_RELINK / 2)
                return; /* a service gone bad gets no more than that */
        c->relinked = now;
        for (size_t i = 0; i < PAIRING_COUNT; i++) {
                int side = side_of(&pairing_rows[i], c->kind);
                struct child *sibling = side < 0 ? NULL : &c->sup->children[pairing_rows[i].ends[1 - side]];

                if (sibling != NULL && child_lives(sibling) && strcmp(child_name(sibling), name) == 0)
                        link_again(c, sibling);
        }
}

/*
 * Before all have been ready, and of the two without which there is no cluster, it is the end of everything, for an operator
 * to see. Another service ends by it and comes back after a pause: what a captured one may say must not stop the others.
 */
static bool ends_everything(const struct child *c)
{
        return !c->sup->was_ready || c->kind == CHILD_AUTH || c->kind == CHILD_SIGNER;
}

static void received_fatal(struct child *c, const struct child_message *m)
{
        struct error *err = error_new(ERROR_FAILED_PRECONDITION, "%s: %s", child_name(c), m->text);

        if (m->hint[0] != '\0')
                err = error_hint(err, "%s", m->hint);
        if (c->sup->was_ready && !c->has_spoken_fatal)
                log_error("a service cannot go on", LOG_C("name", child_name(c)), LOG_ERR(err));
        c->has_spoken_fatal = true;
        if (ends_everything(c)) {
                supervisor_stop(c->sup, err);
                return;
        }
        error_free(err);
        if (child_lives(c))
                kill(c->pid, SIGKILL);
}

/* What only the SSH Service may ask for. fd: that came with it, borrowed; or -1. */
static void received_ssh(struct supervisor *s, const struct child_message *m, int fd)
{
        if (m->kind == CHILD_SENT_SSHD_START)
                supervisor_start_sshd(s, m->name);
        else if (m->kind == CHILD_SENT_SSHD_STOP)
                supervisor_stop_sshd(s, m->name);
        else if (m->kind == CHILD_SENT_HELPER_CHECK)
                supervisor_check_helper(s, m->name, m->number, fd);
}

/* What only `instance` may ask for. */
static void received_instance(struct supervisor *s, const struct child_message *m)
{
        if (m->kind == CHILD_SENT_AWS_SIGN)
                supervisor_sign(s, m->number);
        else if (m->kind == CHILD_SENT_HOST_ID)
                supervisor_take_host_id(s, m->name);
}

static void received(struct child *c, const struct child_message *m, int fd)
{
        if (m->kind == CHILD_SENT_READY)
                received_ready(c);
        else if (m->kind == CHILD_SENT_RELINK)
                received_relink(c, m->name);
        else if (m->kind == CHILD_SENT_FATAL)
                received_fatal(c, m);
        else if (c->kind == CHILD_SSH && child_lives(c))
                received_ssh(c->sup, m, fd);
        else if (c->kind == CHILD_INSTANCE && child_lives(c))
                received_instance(c->sup, m);
}

/* Nothing of ours sends this: whatever does is not to be trusted with going on. */
static void received_nonsense(struct child *c, struct error *err)
{
        uv_poll_stop(c->control);
        if (child_lives(c)) {
                log_error("a service sends what no service sends, and is killed", LOG_C("name", child_name(c)), LOG_ERR(err));
                kill(c->pid, SIGKILL);
        }
        error_free(err);
}

/* Takes what a child has said; false when there is no more. */
static bool receive(struct child *c)
{
        char buffer[CHILD_MESSAGE_MAX];
        size_t len = 0;
        AUTO_FD int fd = -1;
        struct child_message m;
        struct error *err = fdpass_receive(c->control_fd, buffer, sizeof(buffer), &len, &fd);

        if (err != NULL && err->code == ERROR_UNAVAILABLE) { /* nothing yet */
                error_free(err);
                return false;
        }
        if (err == NULL && len == 0) { /* it has closed its end, and its death will be heard of */
                uv_poll_stop(c->control);
                return false;
        }
        if (err == NULL)
                err = child_message_parse(str_of_bytes(buffer, len), &m);
        if (err != NULL) {
                received_nonsense(c, err);
                return false;
        }
        received(c, &m, fd);
        return true;
}

/* Of a child that lives only so many in a turn of the loop: the others have theirs before the rest is read. */
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

/* ---- burying ------------------------------------------------------------------------------------------- */

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

static void pause_before_restart(struct child *c, const char *fate, enum log_level level)
{
        struct duration lived = instant_since(loop_now(&c->sup->loop), c->started);

        if (duration_ms(lived) >= TIMEOUT_RESTART_FORGIVEN)
                backoff_reset(&c->pause);
        struct duration pause = backoff_next(&c->pause);
        log_write(level, "service ended and will be started again", LOG_C("name", child_name(c)), LOG_C("fate", fate),
                  LOG_INT("pause_ms", duration_ms(pause)), LOG_INT("lived_ms", duration_ms(lived)));
        c->state = CHILD_PAUSING;
        if (c->restart == NULL)
                c->restart = timer_new(&c->sup->loop, on_restart, c);
        timer_start(c->restart, pause);
}

/* Without auth nobody asks them anything, and the new auth will have new ends for them. */
static void end_followers(struct supervisor *s)
{
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++) {
                struct child *follower = &s->children[kind];

                if (child_rows[kind].is_follower && child_lives(follower))
                        kill(follower->pid, SIGKILL);
        }
}

static void start_followers(struct supervisor *s)
{
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++)
                if (s->children[kind].state == CHILD_DORMANT)
                        come_back(&s->children[kind]);
}

static bool some_follower_lives(const struct supervisor *s)
{
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++)
                if (child_rows[kind].is_follower && child_lives(&s->children[kind]))
                        return true;
        return false;
}

static void come_back(struct child *c)
{
        struct supervisor *s = c->sup;
        struct error *err;

        if (child_rows[c->kind].is_follower && !child_lives(&s->children[CHILD_AUTH])) {
                c->state = CHILD_DORMANT; /* its end was seen before that of auth, which caused it */
                return;
        }
        if (c->kind == CHILD_AUTH && some_follower_lives(s)) { /* killed, not buried yet */
                timer_start(c->restart, MILLISECONDS(TIMEOUT_RESTART_FIRST));
                return;
        }
        err = supervisor_start(c);
        if (err != NULL) {
                AUTO_MEM char *fate = mem_printf("did not start: %s", err->what);

                error_free(err);
                if (!child_lives(c))
                        pause_before_restart(c, fate, LOG_WARN);
                return;
        }
        if (c->kind == CHILD_AUTH)
                start_followers(s);
}

static void reap(struct child *c, int wait_status)
{
        struct supervisor *s = c->sup;
        AUTO_MEM char *fate = child_fate(wait_status);
        bool was_ready = c->state == CHILD_READY;

        c->state = CHILD_GONE;
        close_control(c);
        forget_ends(c);
        if (c->kind == CHILD_SSH)
                supervisor_stop_all_sshd(s); /* nobody watches over their sessions any more */
        if (c->kind == CHILD_INSTANCE)
                supervisor_stop_sign(s);
        if (s->end != RUNNING) {
                log_debug("service ended", LOG_C("name", child_name(c)), LOG_C("fate", fate));
                supervisor_stop_next(s);
        } else if (!s->was_ready) {
                supervisor_stop(s,
                                error_hint(error_new(ERROR_UNAVAILABLE, "the service '%s' %s before %s", child_name(c),
                                                     fate, was_ready ? "the others were ready" : "it was ready"),
                                           "the lines above this one may show why"));
        } else if (child_rows[c->kind].is_follower && !child_lives(&s->children[CHILD_AUTH])) {
                c->state = CHILD_DORMANT;
        } else {
                /* A follower that was not killed saw its link to auth close: the kernel shows us that end first, at times. */
                bool is_update = !child_rows[c->kind].is_follower || wait_status != 0;

                pause_before_restart(c, fate, is_update ? LOG_WARN : LOG_DEBUG);
                if (c->kind == CHILD_AUTH)
                        end_followers(s);
        }
}

void supervisor_reap(struct supervisor *s)
{
        bool is_dead[CHILD_KINDS] = { 0 };
        int statuses[CHILD_KINDS];

        /* Last words first, and all the dead before any is buried: a follower's end is not news when auth is dead too.
         */
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++) {
                struct child *c = &s->children[kind];

                is_dead[kind] = child_lives(c) && waitpid(c->pid, &statuses[kind], WNOHANG) == c->pid;
                if (is_dead[kind])
                        receive_some(c, LIMIT_CHILD_LAST_MESSAGES);
        }
        if (is_dead[CHILD_AUTH])
                reap(&s->children[CHILD_AUTH], statuses[CHILD_AUTH]);
        for (enum child_kind kind = 0; kind < CHILD_KINDS; kind++)
                if (is_dead[kind] && kind != CHILD_AUTH)
                        reap(&s->children[kind], statuses[kind]);
        supervisor_reap_sign(s);
        supervisor_reap_sshd(s);
}
