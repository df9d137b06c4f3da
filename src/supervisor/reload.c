/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New settings for a running supervisor. They are read and checked as at a start; the table of resource/config_change.h then
 * decides for each key that has changed what has to be done.
 *
 *   refused    a key that only a restart applies, or anything that a start would refuse: nothing has changed
 *   applied    the supervisor uses the new settings, and replaces the processes that depend on changed ones, one after
 *              the other in the order of start, with a new program those that keep state last; each must be ready before the
 *              next one is replaced
 *   reverted   a new process was not ready: the former settings are in force again, and the processes that have new ones are
 *              replaced once more
 */
#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "resource/config_change.h"
#include "resource/config_file.h"
#include "supervisor/internal.h"
#include "supervisor/notify.h"

struct reload {
        struct launch *next;           /* owned: the new settings until they are in force, and again after they are reverted */
        struct launch *former;         /* owned: the settings that were in force, while the new ones are; NULL: those of the start */
        const struct launch *before;   /* borrowed: the settings that were in force */
        struct config_changes changes; /* in the arena of the new settings */
        bool is_wanted[SERVICES_PROCESSES_MAX]; /* the child at that position has to be replaced, started or ended */
        bool has_begun[SERVICES_PROCESSES_MAX]; /* that has begun */
        size_t at;                     /* position of the child that is replaced now */
        struct timer *timeout;         /* of the child that is replaced now */
        struct error *reason;          /* why that child was killed; NULL: it was not, or sent no reason */
        struct error *failure;         /* why the settings are reverted; NULL: they are applied */
        struct program program;        /* fd -1: that on the disk has not changed; the new one until it is in use, then the former one */
        bool is_upgrade;               /* the services get another program */
        bool is_again;                 /* another reload was requested meanwhile */
};

/* ---- the result ------------------------------------------------------------------------------------------ */

static void put_keys(struct buf *out, const struct config_changes *changes)
{
        for (size_t i = 0; i < changes->count; i++)
                buf_printf(out, "%s%s", i == 0 ? "" : ", ", changes->keys[i]);
}

/* Frees the reload. err (owned): why the settings are not applied. */
static void finish(struct supervisor *s, struct error *err)
{
        struct reload *r = s->reload;
        AUTO(buf) keys = BUF_MAX(8 * KiB);

        put_keys(&keys, &r->changes);
        const char *also = r->is_upgrade ? "new processes of the program on the disk; " : "";
        AUTO_MEM char *text = r->changes.count == 0 ? mem_printf("%s%s", also, r->is_upgrade ? "no key has changed" : "nothing has changed")
                                                    : mem_printf("%schanged: %s", also, buf_c(&keys));
        bool is_again = supervisor_answer_reload_clients(s, err, str_of(text)) || r->is_again;
        if (err != NULL)
                log_error("The configuration was not reloaded; the former one stays in force", LOG_ERR(err));
        else if (r->changes.count == 0)
                log_info(r->is_upgrade ? "The services run from the program on the disk; the configuration has not changed"
                                       : "The configuration was reloaded, and has not changed");
        else
                log_info("The configuration was reloaded", LOG_STR("changed", buf_str(&keys)));
        error_free(err);
        if (s->was_ready && s->end == RUNNING)
                notify_manager("READY=1");
        timer_free(r->timeout);
        if (r->program.fd >= 0)
                close(r->program.fd);
        error_free(r->reason);
        error_free(r->failure);
        if (r->next != NULL)
                launch_release(r->next);
        free(r->next);
        if (r->former != NULL)
                launch_release(r->former);
        free(r->former);
        free(r);
        s->reload = NULL;
        if (is_again && s->end == RUNNING)
                supervisor_reload(s);
}

/* ---- checks, before anything changes ---------------------------------------------------------------------- */

#define RESTART_HINT "restart the service to apply it: systemctl restart teleport; or undo the change"

static struct error *check_keys(const struct reload *r, const char *path)
{
        AUTO(buf) others = BUF_MAX(8 * KiB);
        size_t first = 0, count = 0;

        for (size_t i = 0; i < r->changes.count; i++) {
                if (r->changes.rules[i]->effect != CONFIG_RESTART)
                        continue;
                if (count++ == 0)
                        first = i;
                else
                        buf_printf(&others, "%s%s", count == 2 ? "; nor that of " : ", ", r->changes.keys[i]);
        }
        if (count == 0)
                return NULL;
        return error_hint(config_file_place(path, r->changes.keys[first],
                                            error_new(ERROR_FAILED_PRECONDITION, "a reload cannot apply the change of %s: %s%s", r->changes.keys[first],
                                                      r->changes.rules[first]->why, buf_c(&others))),
                          RESTART_HINT);
}

static bool is_changed(const struct reload *r, const char *row)
{
        for (size_t i = 0; i < r->changes.count; i++)
                if (strcmp(r->changes.rules[i]->key, row) == 0)
                        return true;
        return false;
}

static struct error *check_keypairs(const struct supervisor *s)
{
        const Cteleport__V1__ProxyConfig *proxy = s->reload->next->config->proxy_service;
        AUTO(web_keypairs) pairs = { 0 };

        if (!supervisor_has_web_keys(s) || proxy == NULL || proxy->n_https_keypairs == 0)
                return NULL;
        return web_keypairs_load(s->reload->next, loop_wall(&s->loop), &pairs);
}

/* The token and the pins may be in files, which the keys name. */
static void compare_files(const struct supervisor *s)
{
        struct reload *r = s->reload;
        const struct launch *now = s->launch, *next = r->next;
        bool are_pins_same = now->ca_pin_count == next->ca_pin_count;

        if (!secret_equal(secret_str(&now->token), secret_str(&next->token)))
                config_changes_add(&r->changes, next->arena,
                                   next->config->teleport->join_params != NULL ? "teleport.join_params.token_name" : "teleport.auth_token");
        for (size_t i = 0; are_pins_same && i < now->ca_pin_count; i++)
                are_pins_same = strcmp(now->ca_pins[i], next->ca_pins[i]) == 0;
        if (!are_pins_same)
                config_changes_add(&r->changes, next->arena, "teleport.ca_pin");
}

/* Each reload may leave a former process of a service, for as long as its connections last. */
static struct error *check_former_of(const struct child *c)
{
        AUTO(buf) pids = BUF_MAX(4 * KiB);
        size_t count = 0;

        for (const struct child *former = c->sup->draining; former != NULL; former = former->next)
                if (former->row == c->row)
                        buf_printf(&pids, "%s%ld", count++ == 0 ? "" : ", ", (long)former->pid);
        if (count < LIMIT_FORMER_PROCESSES)
                return NULL;
        return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "%zu former processes of the service '%s' still have connections: processes %s", count,
                                    child_name(c), buf_c(&pids)),
                          "end sessions that are older than the last reloads, or restart the service, which ends all: systemctl restart teleport");
}

static bool is_concerned(const struct child *c, bool is_upgrade)
{
        return is_upgrade || config_changes_concern(&c->sup->reload->changes, child_name(c));
}

static struct error *check_former(const struct supervisor *s, bool is_upgrade)
{
        for (size_t i = 0; i < s->child_count; i++)
                if (s->children[i].row->overlaps && child_lives(&s->children[i]) && is_concerned(&s->children[i], is_upgrade))
                        TRY(check_former_of(&s->children[i]));
        return NULL;
}

static struct error *load(struct supervisor *s)
{
        struct reload *r = s->reload;

        if (!s->was_ready)
                return error_new(ERROR_UNAVAILABLE, "teleport is still starting");
        if (s->launch->again == NULL)
                return error_new(ERROR_FAILED_PRECONDITION, "the configuration is not in a file");
        r->next = NEW(struct launch);
        struct error *err = s->launch->again(s->launch->again_ctx, r->next);
        if (err != NULL)
                return config_file_place(s->launch->config_path, NULL, err);
        config_compare(s->launch->config, r->next->config, r->next->arena, &r->changes);
        compare_files(s);
        TRY(check_keys(r, r->next->config_path));
        TRY(check_keypairs(s));
        TRY(check_former(s, false));
        r->next->nodename = str_to_c(r->next->arena, str_of(s->launch->nodename)); /* the name of the machine may have changed */
        return NULL;
}

/* ---- replacing the processes --------------------------------------------------------------------------------- */

static bool is_needed(const struct child *c)
{
        return services_process_is_needed(c->sup->launch->config, c->row);
}

bool supervisor_reload_awaits(const struct child *c)
{
        const struct reload *r = c->sup->reload;

        return r != NULL && r->is_wanted[r->at] && &c->sup->children[r->at] == c && !c->is_replaced;
}

void supervisor_reload_note(struct child *c, struct error *reason)
{
        struct reload *r = c->sup->reload;

        if (r->reason == NULL)
                r->reason = reason;
        else
                error_free(reason);
}

/* The former process does not end, or the new one is not ready: both are killed. */
static void on_timeout(void *ctx)
{
        struct supervisor *s = ctx;
        struct child *c = &s->children[s->reload->at];

        timer_start(s->reload->timeout, MILLISECONDS(TIMEOUT_RELOAD_STEP)); /* of the next process */
        if (!child_lives(c))
                return; /* its start waits for the end of processes that follow it */
        if (supervisor_reload_awaits(c))
                supervisor_reload_note(c, error_new(ERROR_DEADLINE_EXCEEDED, "the new process of the service '%s' was not ready after %d s", child_name(c),
                                                    TIMEOUT_RELOAD_STEP / 1000));
        kill(c->pid, SIGKILL);
}

static void next(struct supervisor *s);

/* Replaces a process that runs, ends one that is not needed any more, starts one that is needed from now on. */
static void begin(struct child *c)
{
        struct reload *r = c->sup->reload;

        r->has_begun[r->at] = true;
        if (!child_lives(c) && !is_needed(c)) { /* it has ended already */
                if (c->restart != NULL)
                        timer_stop(c->restart);
                c->state = CHILD_ABSENT;
                supervisor_note_phase(c);
                next(c->sup);
                return;
        }
        timer_start(r->timeout, MILLISECONDS(TIMEOUT_RELOAD_STEP));
        if (child_lives(c) && (c->state == CHILD_STARTING || !c->row->overlaps || !is_needed(c))) {
                supervisor_replace(c);
                return;
        }
        if (child_lives(c))
                supervisor_set_aside(c);
        supervisor_start_again(c);
}

/*
 * A new program may change the state that a process keeps, so that the former one would not read it: that process comes last, when all
 * others run with the new program and nothing can take it back any more.
 */
static size_t next_wanted(const struct supervisor *s)
{
        size_t last = s->child_count;

        for (size_t i = 0; i < s->child_count; i++) {
                if (!s->reload->is_wanted[i])
                        continue;
                if (!s->reload->is_upgrade || !s->children[i].row->keeps_state)
                        return i;
                last = i;
        }
        return last;
}

static void step(struct supervisor *s)
{
        struct reload *r = s->reload;

        timer_stop(r->timeout);
        r->at = next_wanted(s);
        if (r->at < s->child_count) {
                begin(&s->children[r->at]);
                return;
        }
        struct error *failure = r->failure;
        r->failure = NULL;
        finish(s, failure);
}

static void next(struct supervisor *s)
{
        s->reload->is_wanted[s->reload->at] = false;
        step(s);
}

/* Puts settings in force. */
static void use(struct supervisor *s, const struct launch *launch)
{
        s->launch = launch;
        if (is_changed(s->reload, "teleport.log"))
                supervisor_change_log(s);
        supervisor_reload_keypairs(s);
}

/* Starts children from the other program, from now on. */
static void use_program(struct supervisor *s)
{
        struct program former = s->program;

        s->program = s->reload->program;
        s->reload->program = former;
}

static void revert(struct supervisor *s, struct error *failure)
{
        struct reload *r = s->reload;

        log_error(r->is_upgrade ? "A service does not run with the new program: all get the former one again"
                                : "A service does not run with the new configuration: the former one is put in force again", LOG_ERR(failure));
        r->failure = failure;
        r->next = s->loaded;
        s->loaded = r->former;
        r->former = NULL;
        use(s, r->before);
        if (r->is_upgrade)
                use_program(s);
        memcpy(r->is_wanted, r->has_begun, sizeof(r->is_wanted));
        step(s);
}

void supervisor_reload_started(const struct child *c)
{
        const struct supervisor *s = c->sup;
        struct reload *r = s->reload;

        if (r == NULL || r->before == NULL || r->failure != NULL)
                return;
        const struct child *leader = c->row->follows == NULL ? c : supervisor_child(c->sup, c->row->follows);
        bool begins_with_leader = leader != c && r->has_begun[leader - s->children];

        if (is_concerned(c, r->is_upgrade) && !begins_with_leader)
                r->has_begun[c - s->children] = true;
}

bool supervisor_reload_ready(struct child *c)
{
        if (!supervisor_reload_awaits(c))
                return false;
        log_info("A service has a new process", LOG_C("name", child_name(c)));
        supervisor_drain_former(c);
        next(c->sup);
        return true;
}

bool supervisor_reload_ended(struct child *c, const char *exit_text)
{
        struct supervisor *s = c->sup;
        struct reload *r = s->reload;

        if (c->is_replaced && !is_needed(c)) {
                log_info("A service process is not needed any more, and has ended", LOG_C("name", child_name(c)));
                c->is_replaced = false;
                c->state = CHILD_ABSENT;
                supervisor_note_phase(c);
                if (r != NULL && &s->children[r->at] == c)
                        next(s);
                return true;
        }
        if (c->is_replaced) {
                c->is_replaced = false; /* from here on the new process is awaited */
                if (r != NULL)
                        timer_start(r->timeout, MILLISECONDS(TIMEOUT_RELOAD_STEP));
                supervisor_start_again(c);
                return true;
        }
        if (!supervisor_reload_awaits(c))
                return false;
        struct error *reason = r->reason;
        r->reason = NULL;
        if (c->former != NULL) { /* it has the former settings, and serves on */
                supervisor_take_back(c);
                r->has_begun[r->at] = false;
                if (r->failure != NULL) {
                        error_free(reason);
                        next(s);
                        return true;
                }
        }
        if (r->failure != NULL) { /* its former settings do not help: the usual restarts go on */
                error_free(reason);
                next(s);
                return false;
        }
        revert(s, reason != NULL ? reason
                                 : error_new(ERROR_UNAVAILABLE, "the new process of the service '%s' %s before it was ready", child_name(c), exit_text));
        return true;
}

/* ---- the reload ----------------------------------------------------------------------------------------------- */

/*
 * Decides which children have to be replaced. One that waits for its restart is started now with the new settings, but not awaited: those
 * may be a remedy, and new processes of others may need it.
 */
static void plan(struct supervisor *s)
{
        struct reload *r = s->reload;

        for (size_t i = 0; i < s->child_count; i++) {
                struct child *c = &s->children[i];

                if (child_lives(c)) {
                        bool is_old = r->is_upgrade && c->row->follows == NULL; /* dependents are replaced with the process that they follow */

                        r->is_wanted[i] = is_old || !is_needed(c) || config_changes_concern(&r->changes, child_name(c));
                } else if (c->state == CHILD_ABSENT) {
                        r->is_wanted[i] = is_needed(c);
                } else if (!is_needed(c)) {
                        timer_stop(c->restart);
                        c->state = CHILD_ABSENT;
                        supervisor_note_phase(c);
                } else if (c->state == CHILD_PAUSING) {
                        supervisor_start_again(c);
                }
        }
}

static void apply(struct supervisor *s)
{
        struct reload *r = s->reload;

        r->before = s->launch;
        r->former = s->loaded;
        s->loaded = r->next;
        r->next = NULL;
        use(s, s->loaded);
        if (r->is_upgrade)
                use_program(s);
        supervisor_send_reload(s);
        plan(s);
        step(s);
}

static void refuse(struct supervisor *s, struct error *err)
{
        supervisor_reload_keypairs(s); /* files that were replaced are in use even if another part is wrong */
        supervisor_send_reload(s);
        finish(s, err);
}

static void on_checked(struct supervisor *s, struct program program, struct error *err)
{
        s->reload->program = program;
        if (err == NULL)
                err = check_former(s, true);
        s->reload->is_upgrade = err == NULL;
        if (err != NULL) {
                refuse(s, err);
                return;
        }
        log_info("The program on the disk is another one: the services get new processes of it", LOG_C("program", s->own.path));
        apply(s);
}

void supervisor_reload(struct supervisor *s)
{
        struct program program = { .fd = -1 };

        if (s->end != RUNNING) { /* a signal: a new process would be started beside those that end */
                log_info("teleport is stopping, and loads no configuration");
                return;
        }
        if (s->reload != NULL) {
                s->reload->is_again = true;
                return;
        }
        if (s->was_ready) /* READY=1 ends it, which would end the start too */
                notify_reloading();
        supervisor_serve_reload_clients(s);
        s->reload = NEW(struct reload);
        s->reload->timeout = timer_new(&s->loop, on_timeout, s);
        s->reload->program.fd = -1;
        struct error *err = load(s);
        if (err == NULL)
                err = supervisor_find_program(s, &program);
        if (err == NULL && program.fd >= 0) {
                err = supervisor_check_program(s, program, on_checked);
                if (err == NULL)
                        return;
                s->reload->program = program;
        }
        if (err != NULL)
                refuse(s, err);
        else
                apply(s);
}

void supervisor_end_reload(struct supervisor *s)
{
        supervisor_end_check(s);
        if (s->reload != NULL)
                finish(s, error_new(ERROR_UNAVAILABLE, "teleport is stopping"));
}
