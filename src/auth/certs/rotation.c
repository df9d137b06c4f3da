/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/certs/rotation.h"

#include <stdlib.h>

#include "auth/certs/issue.h"
#include "auth/hosts/presence.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "pki/ca_phase.h"
#include "pki/key.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/rotation.h"

typedef Cteleport__State__V1__Rotation record;

enum { TYPES = ROTATION_WARNINGS, RECORD_ARENA = 16 * KiB, FIND_ARENA = 4 * LIMIT_STORE_VALUE };

#define SIGNER_TIMEOUT SECONDS(60) /* finding a new RSA key takes seconds on a busy machine */

static const char *const type_names[TYPES] = { "host", "user", "jwt" };

struct one {
        struct rotation *all;
        const char *type;
        struct arena *arena;
        record *record; /* in arena; NULL: there was no rotation */
        uint64_t revision;
        struct timer *due; /* the next step by time, or the last one again at the signer */
        bool is_busy;      /* a step is under way */
        bool is_pending;   /* the stored step is not taken by the signer yet */
        int64_t waiting_since; /* a step that is due waits, which was logged; 0: none */
};

struct rotation {
        struct auth *auth;
        struct one all[TYPES];
        size_t opening; /* the type being read at the start */
        void (*opened)(void *ctx, struct error *err);
        void *ctx;
};

static enum ca_phase phase_of(const record *r)
{
        enum ca_phase phase = CA_STANDBY;

        if (r != NULL)
                error_free(ca_phase_get(str_of(r->phase), &phase)); /* rotation_read has checked it */
        return phase;
}

static const Cteleport__Internal__V1__Authority *authority_of(const struct one *o)
{
        const struct authorities *cas = &o->all->auth->authorities;

        return strcmp(o->type, "host") == 0 ? cas->host : strcmp(o->type, "user") == 0 ? cas->user : cas->jwt;
}

bool rotation_has_followers(const char *type)
{
        return strcmp(type, "jwt") != 0;
}

static int64_t now_of(const struct rotation *r)
{
        return walltime_unix(loop_wall(&r->auth->loop));
}

/* ---- records --------------------------------------------------------------------------------------------------- */

static void keep_record(struct one *o, const record *from, uint64_t revision)
{
        struct arena *arena = arena_new(RECORD_ARENA);
        ProtobufCMessage *copy = NULL;
        struct error *err = wire_copy(arena, &from->base, &copy);

        if (err != NULL) { /* it was read or written before, so it fits */
                log_warn("The state of a rotation cannot be kept", LOG_ERR(err));
                error_free(err);
                arena_free(arena);
                return;
        }
        arena_free(o->arena);
        o->arena = arena;
        o->record = (record *)copy;
        o->revision = revision;
}

/* A copy of the record, or a first one, in the arena. */
static record *next_record(const struct one *o, struct arena *a)
{
        record *next = arena_alloc(a, sizeof *next);

        cteleport__state__v1__rotation__init(next);
        if (o->record != NULL)
                *next = *o->record;
        next->type = pb_text(o->type);
        return next;
}

/* ---- the schedule ----------------------------------------------------------------------------------------------- */

/* Each of the three phases has a third of the grace period. */
static struct duration phase_span(const record *r)
{
        return SECONDS(r->grace_seconds / 3);
}

static bool is_automatic(const record *r)
{
        enum ca_phase phase = phase_of(r);

        return r != NULL && strcmp(r->mode, "auto") == 0 && phase != CA_STANDBY;
}

/*
 * Starts the timer for the next step. It runs by the monotonic clock: a clock that jumps while this process runs changes nothing. At
 * a start the wall clock tells how much is left, at most the whole span, and at least the time in which hosts connect again: while no
 * host is connected, none is known to be behind.
 */
static void plan(struct one *o, bool is_start)
{
        if (o->is_pending || !is_automatic(o->record))
                return;
        struct duration span = phase_span(o->record), left = span, least = MILLISECONDS(PACE_ROTATION_MIN);
        if (is_start) {
                int64_t passed = now_of(o->all) - o->record->phase_since;
                left = SECONDS(passed < 0 ? span.ns / SECONDS(1).ns : span.ns / SECONDS(1).ns - passed);
                least = o->all->auth->heartbeat_ttl.ns < span.ns ? o->all->auth->heartbeat_ttl : span;
        }
        timer_start(o->due, left.ns > least.ns ? left : least);
}

/* The metric has the CAs whose steps hosts take over; a step of the CA jwt waits for the signer only, which tctl status shows. */
static void show_wait(const struct one *o)
{
        if (rotation_has_followers(o->type))
                metric_set(METRIC_ROTATION_WAITING, o->type, "", o->waiting_since);
}

/* A step that is due cannot be taken. Returns whether that is new. */
static bool begin_wait(struct one *o)
{
        if (o->waiting_since != 0)
                return false;
        o->waiting_since = now_of(o->all);
        show_wait(o);
        return true;
}

static void end_wait(struct one *o)
{
        o->waiting_since = 0;
        show_wait(o);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

struct step {
        struct one *one;
        struct arena *arena;
        record *next;
        char *by;
        bool is_forced;
        void (*done)(void *ctx, struct error *err);
        void *ctx;
};

static void step_finish(struct step *s, struct error *err)
{
        s->one->is_busy = false;
        s->done(s->ctx, err);
        free(s->by);
        arena_free(s->arena);
        free(s);
}

static void request_signer(struct one *o, void (*done)(void *ctx, const ProtobufCMessage *answer, struct error *err), void *ctx)
{
        Cteleport__Internal__V1__RotateCaRequest m = CTELEPORT__INTERNAL__V1__ROTATE_CA_REQUEST__INIT;
        struct auth *a = o->all->auth;

        m.type = pb_text(o->type);
        m.id = o->record->id;
        m.phase = o->record->phase;
        auth_request(a, a->signer, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_ROTATE, &m.base,
                     &cteleport__internal__v1__authorities__descriptor, SIGNER_TIMEOUT, done, ctx);
}

/* The signer has taken the step. */
static struct error *take_effect(struct one *o, const ProtobufCMessage *answer)
{
        TRY(issue_keep_authorities(o->all->auth, answer));
        TRY(auth_use_authorities(o->all->auth)); /* else the step stays pending, and is requested again */
        o->is_pending = false;
        end_wait(o);
        log_info("The rotation of a CA has entered a phase", LOG_C("type", o->type), LOG_C("phase", o->record->phase),
                 LOG_C("mode", o->record->mode));
        plan(o, false);
        return NULL;
}

static void on_step_signed(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct step *s = ctx;
        struct one *o = s->one;

        if (err == NULL)
                err = take_effect(o, answer);
        if (err != NULL) {
                begin_wait(o);
                timer_start(o->due, MILLISECONDS(PACE_ROTATION_AGAIN));
                err = error_hint(error_because(error_new(ERROR_UNAVAILABLE, "the phase %s is stored, and the signer has not entered it yet",
                                                         o->record->phase), err),
                                 "the Auth Service repeats the request by itself; its log has the reason");
        }
        step_finish(s, err);
}

static void on_step_stored(void *ctx, uint64_t revision, struct error *err)
{
        struct step *s = ctx;

        if (err != NULL) {
                step_finish(s, err->code == ERROR_ABORTED ? error_wrap(err, "another Auth Service has taken a step meanwhile") : err);
                return;
        }
        keep_record(s->one, s->next, revision);
        s->one->is_pending = true;
        timer_stop(s->one->due);
        request_signer(s->one, on_step_signed, s);
}

static void store_step(struct step *s)
{
        struct auth *a = s->one->all->auth;
        struct store_txn *t = store_txn_new(a->store);
        struct audit_record event = { 0 };

        auth_audit_begin(a, &event, &audit_ca_rotate);
        audit_str(&event, "ca_type", str_of(s->one->type));
        audit_str(&event, "phase", str_of(s->next->phase));
        audit_str(&event, "mode", str_of(s->next->mode));
        audit_str(&event, "rotation_id", str_of(s->next->id));
        audit_str(&event, "user", str_of(s->by));
        rotation_put(t, s->next, s->one->revision);
        audit_account_add(a, ACCOUNT_ADMIN, str_of(s->by), t, &event);
        store_txn_commit(t, on_step_stored, s);
}

static struct error *refuse_behind(const struct hosts_behind *found, const record *now)
{
        AUTO(buf) names = BUF_MAX(HOSTS_BEHIND_NAMED * LIMIT_NAME);

        for (size_t i = 0; i < HOSTS_BEHIND_NAMED && found->names[i].len > 0; i++)
                buf_printf(&names, "%s%.*s", i == 0 ? "" : ", ", STR_ARG(buf_str(&found->names[i])));
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "%u connected %s not taken over the phase %s yet: %s%s", found->count,
                                    found->count == 1 ? "host has" : "hosts have", now->phase, buf_c(&names),
                                    found->count > HOSTS_BEHIND_NAMED ? " …" : ""),
                          "a host takes it over within minutes, if its release knows rotations; tctl status shows how many are missing. --force leaves "
                          "them behind: they lose their connections, and join again if their token allows it");
}

static void on_behind(void *ctx, const struct hosts_behind *found, struct error *err)
{
        struct step *s = ctx;

        if (err == NULL && found->count > 0)
                err = refuse_behind(found, s->one->record);
        if (err != NULL)
                step_finish(s, err);
        else
                store_step(s);
}

/* Sets the fields of a new rotation. */
static struct error *begin_record(struct step *s, const char *mode, int64_t grace)
{
        AUTO(buf) id = BUF_MAX(64);
        bool is_auto = strcmp(mode, "auto") == 0;

        if (!is_auto && strcmp(mode, "manual") != 0)
                return error_new(ERROR_INVALID_ARGUMENT, "the mode of a rotation is auto or manual");
        if (is_auto && (grace < LIMIT_ROTATION_GRACE_MIN || grace > LIMIT_ROTATION_GRACE_MAX))
                return error_new(ERROR_INVALID_ARGUMENT, "the grace period of a rotation is %d seconds to %d days", LIMIT_ROTATION_GRACE_MIN,
                                 LIMIT_ROTATION_GRACE_MAX / 86400);
        random_uuid(&id);
        s->next->id = pb_text(str_to_c(s->arena, buf_str(&id)));
        s->next->mode = pb_text(mode);
        s->next->grace_seconds = is_auto ? grace : 0;
        s->next->started = now_of(s->one->all);
        return NULL;
}

static struct error *prepare(struct step *s, const Cteleport__V1__RotateRequest *request)
{
        struct one *o = s->one;
        enum ca_phase now = phase_of(o->record), phase;

        TRY(ca_phase_get(str_of(request->phase), &phase));
        if (o->is_pending)
                return error_hint(error_new(ERROR_FAILED_PRECONDITION, "the signer has not entered the phase %s yet", o->record->phase),
                                  "the Auth Service repeats the request by itself; its log has the reason");
        TRY(ca_phase_check_step(now, phase));
        s->next = next_record(o, s->arena);
        if (phase == CA_INIT)
                TRY(begin_record(s, request->mode, request->grace_seconds));
        s->next->phase = pb_text(ca_phase_name(phase));
        s->next->phase_since = now_of(o->all);
        s->next->steps++;
        if (phase == CA_STANDBY && now == CA_UPDATE_SERVERS)
                s->next->last_rotated = s->next->phase_since;
        s->is_forced = request->force || phase == CA_INIT || phase == CA_ROLLBACK; /* no member trusts less by these */
        return NULL;
}

static struct one *find_type(struct rotation *r, const char *type)
{
        for (size_t i = 0; i < TYPES; i++)
                if (strcmp(r->all[i].type, type) == 0)
                        return &r->all[i];
        return NULL;
}

void rotation_step(struct rotation *r, const Cteleport__V1__RotateRequest *request, struct str by,
                   void (*done)(void *ctx, struct error *err), void *ctx)
{
        struct one *o = find_type(r, request->type);

        if (o == NULL || o->is_busy) {
                done(ctx, o == NULL ? error_new(ERROR_INVALID_ARGUMENT, "the types of CAs are host, user and jwt")
                                    : error_hint(error_new(ERROR_ABORTED, "another step of this rotation is being taken"), "try again"));
                return;
        }
        struct step *s = NEW(struct step);
        *s = (struct step){ .one = o, .arena = arena_new(RECORD_ARENA), .by = str_dup(by), .done = done, .ctx = ctx };
        o->is_busy = true;
        struct error *err = prepare(s, request);
        if (err != NULL)
                step_finish(s, err);
        else if (s->is_forced || !rotation_has_followers(o->type))
                store_step(s);
        else
                rotation_find_behind(r, on_behind, s);
}

/* ---- steps by time, and steps that the signer has not taken ----------------------------------------------------------- */

static void repeat_later(struct one *o, struct error *err)
{
        log_error("The signer has not entered the phase of a rotation, it is tried again", LOG_C("type", o->type), LOG_C("phase", o->record->phase),
                  LOG_ERR(err));
        error_free(err);
        o->is_pending = true;
        begin_wait(o);
        timer_start(o->due, MILLISECONDS(PACE_ROTATION_AGAIN));
}

static void on_repeated(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct one *o = ctx;

        o->is_busy = false;
        if (err == NULL)
                err = take_effect(o, answer);
        if (err != NULL)
                repeat_later(o, err);
}

static void on_stepped(void *ctx, struct error *err)
{
        struct one *o = ctx;

        if (err == NULL)
                return;
        if (begin_wait(o))
                log_warn("The next phase of a rotation waits", LOG_C("type", o->type), LOG_C("phase", o->record->phase), LOG_ERR(err));
        error_free(err);
        timer_start(o->due, MILLISECONDS(PACE_ROTATION_AGAIN));
}

static void on_due(void *ctx)
{
        struct one *o = ctx;
        Cteleport__V1__RotateRequest request = CTELEPORT__V1__ROTATE_REQUEST__INIT;

        if (o->all->auth->is_stopping)
                return;
        if (o->is_busy) {
                timer_start(o->due, MILLISECONDS(PACE_ROTATION_AGAIN));
                return;
        }
        if (o->is_pending) {
                o->is_busy = true;
                request_signer(o, on_repeated, o);
                return;
        }
        if (!is_automatic(o->record))
                return;
        request.type = pb_text(o->type);
        request.phase = pb_text(ca_phase_name(ca_phase_next(phase_of(o->record))));
        rotation_step(o->all, &request, STR("the schedule"), on_stepped, o);
}

/* ---- hosts that have not followed ------------------------------------------------------------------------------------ */

struct finding {
        struct rotation *all;
        struct hosts_behind found;
        void (*done)(void *ctx, const struct hosts_behind *found, struct error *err);
        void *ctx;
};

void hosts_behind_release(struct hosts_behind *h)
{
        for (size_t i = 0; i < HOSTS_BEHIND_NAMED; i++)
                buf_release(&h->names[i]);
        *h = (struct hosts_behind){ 0 };
}

static struct error *check_host(void *ctx, const struct state_record *stored)
{
        struct finding *f = ctx;
        const struct auth *a = f->all->auth;
        AUTO_PTR(arena) arena = arena_new(FIND_ARENA);
        Cteleport__State__V1__Presence *presence = NULL;

        TRY(presence_read(arena, stored, &presence));
        if (!presence_is_connected(a, presence) || strcmp(presence->ca_revision, a->authorities.revision) == 0)
                return NULL;
        if (f->found.count < HOSTS_BEHIND_NAMED) {
                f->found.names[f->found.count] = BUF_MAX(LIMIT_NAME);
                buf_put_c(&f->found.names[f->found.count], presence->hostname);
        }
        f->found.count++;
        return NULL;
}

static void on_found(void *ctx, struct error *err)
{
        struct finding *f = ctx;

        f->done(f->ctx, &f->found, err);
        hosts_behind_release(&f->found);
        free(f);
}

void rotation_find_behind(struct rotation *r, void (*done)(void *ctx, const struct hosts_behind *found, struct error *err), void *ctx)
{
        struct finding *f = NEW(struct finding);

        *f = (struct finding){ .all = r, .done = done, .ctx = ctx };
        state_scan(r->auth->store, &presence_kind, &r->auth->is_stopping, check_host, on_found, f);
}

/* ---- status ------------------------------------------------------------------------------------------------------------ */

/* "Jan _2 15:04:05 UTC", as in Teleport. */
static const char *shown_time(struct arena *a, int64_t seconds)
{
        static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        struct civil c = walltime_civil(walltime_of_unix(seconds));

        return arena_printf(a, "%s %2d %02d:%02d:%02d UTC", months[c.month - 1], c.day, c.hour, c.minute, c.second);
}

static const char *shown_rotation(struct arena *a, const record *r)
{
        enum ca_phase phase = phase_of(r);

        if (phase == CA_STANDBY)
                return r == NULL || r->last_rotated == 0 ? "never updated" : arena_printf(a, "rotated %s", shown_time(a, r->last_rotated));
        if (strcmp(r->mode, "auto") != 0)
                return arena_printf(a, "%s (mode: manual, started: %s)", ca_phase_title(phase), shown_time(a, r->started));
        return arena_printf(a, "%s (mode: auto, started: %s, ending: %s)", ca_phase_title(phase), shown_time(a, r->started),
                            shown_time(a, r->started + r->grace_seconds));
}

void rotation_describe(const struct rotation *r, const char *type, struct arena *arena, Cteleport__V1__AuthorityStatus *ret)
{
        const record *now = NULL;

        for (size_t i = 0; i < TYPES; i++)
                if (strcmp(r->all[i].type, type) == 0)
                        now = r->all[i].record;

        ret->rotation = pb_text(shown_rotation(arena, now));
        ret->phase = pb_text(ca_phase_name(phase_of(now)));
        if (now == NULL)
                return;
        ret->mode = now->mode;
        ret->id = now->id;
        ret->started = now->started;
        ret->last_rotated = now->last_rotated;
        ret->grace_seconds = now->grace_seconds;
        if (!is_automatic(now))
                return;
        ret->update_clients = now->started + now->grace_seconds / 3;
        ret->update_servers = now->started + now->grace_seconds * 2 / 3;
        ret->standby = now->started + now->grace_seconds;
}

static char *warning(const struct one *o, const struct hosts_behind *behind, struct arena *a)
{
        const char *since = shown_time(a, o->waiting_since), *phase = o->record->phase;

        if (o->is_pending)
                return pb_text(arena_printf(a, "the rotation of the %s CA waits since %s: the signer has not entered the phase %s; the log of the Auth Service has "
                                               "the reason", o->type, since, phase));
        if (behind == NULL || behind->count == 0 || !rotation_has_followers(o->type))
                return pb_text(arena_printf(a, "the rotation of the %s CA waits since %s: the phase after %s does not begin; the log of the Auth Service has the reason",
                                            o->type, since, phase));
        return pb_text(arena_printf(a, "the rotation of the %s CA waits since %s for %u connected %s: update or lock %s; without %s the next phase begins by "
                                       "tctl auth rotate --type=%s --manual --phase=%s --force",
                                    o->type, since, behind->count, behind->count == 1 ? "host" : "hosts", behind->count == 1 ? "it" : "them",
                                    behind->count == 1 ? "it" : "them", o->type, ca_phase_name(ca_phase_next(phase_of(o->record)))));
}

size_t rotation_warnings(const struct rotation *r, const struct hosts_behind *behind, struct arena *arena, char *ret[ROTATION_WARNINGS])
{
        size_t count = 0;

        for (size_t i = 0; r != NULL && i < TYPES; i++)
                if (r->all[i].waiting_since != 0)
                        ret[count++] = warning(&r->all[i], behind, arena);
        return count;
}

bool rotation_is_active(const struct rotation *r)
{
        bool is_active = false;

        for (size_t i = 0; r != NULL && i < TYPES; i++)
                is_active = is_active || phase_of(r->all[i].record) != CA_STANDBY;
        return is_active;
}

/* ---- start ------------------------------------------------------------------------------------------------------------ */

static void open_next(struct rotation *r);

static void opened_one(struct one *o, struct error *err)
{
        struct rotation *r = o->all;

        if (err != NULL) {
                r->opened(r->ctx, err);
                return;
        }
        plan(o, true);
        r->opening++;
        open_next(r);
}

static void on_adopted(void *ctx, uint64_t revision, struct error *err)
{
        struct one *o = ctx;

        o->revision = revision;
        opened_one(o, err);
}

/* The signer's phase counts, for it has the keys. */
static void adopt(struct one *o)
{
        const Cteleport__Internal__V1__Authority *signer = authority_of(o);
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        record *next = next_record(o, arena);
        struct store_txn *t = store_txn_new(o->all->auth->store);

        log_warn("The signer is in another phase of a rotation than the cluster's state, and stays there: was one of them restored from a backup?",
                 LOG_C("type", o->type), LOG_C("signer", signer->phase), LOG_C("state", ca_phase_name(phase_of(o->record))));
        next->id = signer->rotation_id;
        next->phase = signer->phase;
        next->mode = pb_text("manual");
        next->started = next->phase_since = now_of(o->all);
        next->grace_seconds = 0;
        rotation_put(t, next, o->revision);
        keep_record(o, next, 0);
        store_txn_commit(t, on_adopted, o);
}

static void on_caught_up(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct one *o = ctx;

        if (err == NULL)
                err = issue_keep_authorities(o->all->auth, answer);
        if (err == NULL)
                log_info("The signer has taken the step of a rotation that was interrupted", LOG_C("type", o->type), LOG_C("phase", o->record->phase));
        else
                repeat_later(o, err);
        opened_one(o, NULL);
}

static void reconcile(struct one *o)
{
        const Cteleport__Internal__V1__Authority *signer = authority_of(o);
        enum ca_phase stored = phase_of(o->record), is = CA_STANDBY;
        struct str id = str_of(o->record == NULL ? "" : o->record->id), signers = str_of(signer->rotation_id);

        error_free(ca_phase_get(str_of(signer->phase), &is));
        if (stored == is && str_equal(id, signers)) {
                opened_one(o, NULL);
                return;
        }
        AUTO_PTR(error) step = ca_phase_check_step(is, stored);
        bool is_interrupted = step == NULL && (is == CA_STANDBY ? !str_equal(id, signers) : str_equal(id, signers));
        if (is_interrupted)
                request_signer(o, on_caught_up, o);
        else
                adopt(o);
}

static void on_record(void *ctx, const struct state_record *stored, struct error *err)
{
        struct one *o = ctx;
        AUTO_PTR(arena) arena = arena_new(RECORD_ARENA);
        record *read = NULL;

        if (err == NULL && stored != NULL)
                err = rotation_read(arena, stored, &read);
        if (err == NULL && read != NULL)
                keep_record(o, read, stored->revision);
        if (err != NULL)
                opened_one(o, err);
        else
                reconcile(o);
}

static void open_next(struct rotation *r)
{
        if (r->opening == TYPES) {
                r->opened(r->ctx, NULL);
                return;
        }
        struct one *o = &r->all[r->opening];
        state_get(r->auth->store, &rotation_kind, str_of(o->type), on_record, o);
}

struct rotation *rotation_open(struct auth *a, void (*done)(void *ctx, struct error *err), void *ctx)
{
        struct rotation *r = NEW(struct rotation);

        *r = (struct rotation){ .auth = a, .opened = done, .ctx = ctx };
        for (size_t i = 0; i < TYPES; i++)
                r->all[i] = (struct one){ .all = r, .type = type_names[i], .due = timer_new(&a->loop, on_due, &r->all[i]) };
        open_next(r);
        return r;
}

void rotation_close(struct rotation *r)
{
        if (r == NULL)
                return;
        for (size_t i = 0; i < TYPES; i++) {
                timer_free(r->all[i].due);
                arena_free(r->all[i].arena);
        }
        free(r);
}
